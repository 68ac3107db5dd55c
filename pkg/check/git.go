package check

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// trackedByGit returns the names in the directory dir that are in Git's index.
// It is empty where there is no Git.
func trackedByGit(ctx context.Context, dir string) map[string]bool {
	return git(ctx, dir, nil, "ls-files", "-z", "--", ".")
}

// ignoredByGit returns those of the paths, relative to root, that a .gitignore
// keeps out. It is empty where there is no Git.
func ignoredByGit(ctx context.Context, root string, paths []string) map[string]bool {
	if len(paths) == 0 {
		return nil
	}
	return git(ctx, root, paths, "check-ignore", "-z", "--stdin")
}

// git asks Git, and returns the names that it answers. Every failure is no
// answer: what Git knows is an addition.
func git(ctx context.Context, dir string, input []string, args ...string) map[string]bool {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	// A repository may name a program that watches its files; it is not ours to
	// start.
	cmd := exec.CommandContext(ctx, "git",
		append([]string{"-c", "core.fsmonitor=false", "--no-optional-locks"}, args...)...)
	cmd.Dir = dir
	// Git tells its hooks by variables where the repository is, relative to
	// another directory than ours.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "GIT_")
	})
	cmd.Stdin = strings.NewReader(strings.Join(input, "\x00"))
	out, _ := cmd.Output() // check-ignore ends with status 1 when it ignores none
	all := map[string]bool{}
	for name := range bytes.SplitSeq(out, []byte{0}) {
		if len(name) > 0 {
			all[string(name)] = true
		}
	}
	return all
}
