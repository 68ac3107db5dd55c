package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// YAML reads the text of a configuration file into c. The file is a mapping whose keys are those of Settings, with a level
// for each dot; a setting that may be given several times takes a list. An error names file, line and key, and all that is
// wrong is told at once; c is then half read and must not be used.
func (c *Config) YAML(file string, text []byte) error {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil // nothing is set
	case err != nil:
		return fmt.Errorf("%s: %s", file, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	var second yaml.Node
	if err := d.Decode(&second); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: there is more than one document; remove the line ---", file)
	}
	r := reader{file: file, settings: c.Settings(), lines: map[string]int{}}
	r.read(doc.Content[0], "")
	return errors.Join(r.errs...)
}

type reader struct {
	file     string
	settings []Setting
	lines    map[string]int // where each key was set
	errs     []error
}

func (r *reader) wrong(n *yaml.Node, format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf("%s:%d: %s", r.file, n.Line, fmt.Sprintf(format, args...)))
}

// read reads a mapping whose keys all begin with prefix.
func (r *reader) read(n *yaml.Node, prefix string) {
	n = follow(n)
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.wrong(n, "%sthere must be lines \"key: value\" here", describe(prefix))
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		key := prefix + name.Value
		if at, twice := r.lines[key]; twice {
			r.wrong(name, "%s was set in line %d already", key, at)
			continue
		}
		r.lines[key] = name.Line
		at := slices.IndexFunc(r.settings, func(s Setting) bool { return s.Key == key })
		switch {
		case at >= 0:
			r.set(r.settings[at], value)
		case slices.ContainsFunc(r.settings, func(s Setting) bool { return strings.HasPrefix(s.Key, key+".") }):
			r.read(value, key+".")
		default:
			r.wrong(name, "%s is no setting%s", key, r.suggest(key))
		}
	}
}

// follow returns what an alias stands for.
func follow(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func describe(prefix string) string {
	if prefix == "" {
		return ""
	}
	return strings.TrimSuffix(prefix, ".") + ": "
}

func (r *reader) set(s Setting, n *yaml.Node) {
	n = follow(n)
	texts := []*yaml.Node{n}
	switch n.Kind {
	case yaml.SequenceNode:
		switch s.Value.(type) {
		case *list, *prefixes, *addresses:
			texts = n.Content
		default:
			r.wrong(n, "%s takes one value, not a list", s.Key)
			return
		}
		if len(texts) == 0 {
			texts = []*yaml.Node{{Kind: yaml.ScalarNode, Line: n.Line}} // an empty list: nothing, instead of the default
		}
	case yaml.MappingNode:
		r.wrong(n, "%s takes a value, not more keys", s.Key)
		return
	}
	for _, t := range texts {
		if t = follow(t); t.Tag == "!!null" {
			t.Value = "" // "key:" and "key: null" are empty
		}
		if t.Kind != yaml.ScalarNode {
			r.wrong(t, "%s takes a plain value", s.Key)
			continue
		}
		if err := s.Value.Set(t.Value); err != nil {
			r.wrong(t, "%s: %v", s.Key, err)
		}
	}
}

// suggest names the setting that somebody who wrote key may have meant.
func (r *reader) suggest(key string) string {
	last := key[strings.LastIndex(key, ".")+1:]
	for _, s := range r.settings {
		if strings.EqualFold(s.Key, strings.ReplaceAll(key, "_", "-")) || strings.HasSuffix(s.Key, "."+last) || s.Flag() == key {
			return "; did you mean " + s.Key + "?"
		}
	}
	return "; pxesrv serve --help lists them"
}
