// Command dockerfile asks BuildKit, the builder of Docker, about a Dockerfile,
// without a daemon, an engine or a registry. It prints JSON: the warnings of
// docker build --check, the files that the builder is sent, the steps that it
// would run, and the configuration of the image.
//
//	dockerfile FOLDER [NAME=VALUE…]    FOLDER/Dockerfile, FOLDER/.dockerignore, and build arguments
//
// It is a program of its own, and has a module of its own, because BuildKit is
// large and the project needs it only to be tested.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// bases answers for the registry: every image is there, and has this
// configuration.
type bases struct{}

func (bases) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string,
	digest.Digest, []byte, error) {
	// Without a layer it would be taken for scratch.
	const config = `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:%064d"]},"config":{"Env":["PATH=%s"%s]}}`
	const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	text := fmt.Sprintf(config, 0, path, "")
	if strings.Contains(ref, "/golang:") { // as its own Dockerfile has it
		text = fmt.Sprintf(config, 0, "/go/bin:/usr/local/go/bin:"+path,
			`,"GOTOOLCHAIN=local","GOPATH=/go"`)
	}
	return ref, digest.FromString(ref), []byte(text), nil
}

type answer struct {
	Warnings []string        `json:"warnings"`
	Files    []string        `json:"files"` // of the build context
	Steps    []step          `json:"steps"`
	Image    json.RawMessage `json:"image"`
}

// A step is an operation of BuildKit's solver/pb/ops.proto. Its inputs are the
// digests of others.
type step struct {
	Digest string          `json:"digest"`
	Op     json.RawMessage `json:"op"`
}

func main() {
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(folder string, args []string) error {
	text, err := os.ReadFile(filepath.Join(folder, "Dockerfile"))
	if err != nil {
		return err
	}
	ctx := context.Background()
	platform := ocispecs.Platform{OS: "linux", Architecture: "amd64"}
	opt := dockerfile2llb.ConvertOpt{
		MetaResolver: bases{}, TargetPlatform: &platform,
		Config: dockerui.Config{BuildArgs: map[string]string{},
			BuildPlatforms: []ocispecs.Platform{platform}},
	}
	for _, a := range args {
		name, value, _ := strings.Cut(a, "=")
		opt.BuildArgs[name] = value
	}
	var out answer
	opt.AllStages = true // also those that the last one does not need
	opt.Warn = func(rule, _, _, detail string, at []parser.Range) {
		line := 0
		if len(at) > 0 {
			line = at[0].Start.Line
		}
		out.Warnings = append(out.Warnings, fmt.Sprintf("Dockerfile:%d: %s: %s", line,
			rule, detail))
	}
	state, image, _, _, err := dockerfile2llb.Dockerfile2LLB(ctx, text, opt)
	if err != nil {
		return err
	}
	if out.Image, err = json.Marshal(image); err != nil {
		return err
	}
	def, err := state.Marshal(ctx, llb.Platform(platform))
	if err != nil {
		return err
	}
	for _, raw := range def.Def {
		var op pb.Op
		if err := op.Unmarshal(raw); err != nil {
			return err
		}
		text, err := protojson.Marshal(&op)
		if err != nil {
			return err
		}
		out.Steps = append(out.Steps, step{digest.FromBytes(raw).String(), text})
	}
	if out.Files, err = contextFiles(folder); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// contextFiles are the files that .dockerignore lets through, as docker build
// sends them.
func contextFiles(folder string) (files []string, err error) {
	f, err := os.Open(filepath.Join(folder, ".dockerignore"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	patterns, err := ignorefile.ReadAll(f)
	if err != nil {
		return nil, err
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		return nil, err
	}
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		ignored, err := matcher.MatchesOrParentMatches(name)
		if !ignored {
			files = append(files, name)
		}
		return err
	})
	return files, err
}
