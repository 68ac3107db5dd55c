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

// YAML reads the text of a configuration file into c. The file is a mapping
// whose keys are those of Settings, with a level for each dot; a setting that
// may be given several times takes a list. The error has all that is wrong,
// each with file, line and key; c is then half read and must not be used. There
// are warnings about old names.
func (c *Config) YAML(file string, text []byte) (warnings []string, err error) {
	return readYAML(file, text, c.Settings())
}

func readYAML(file string, text []byte, settings []Setting) (warnings []string, err error) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil // nothing is set
	case err != nil:
		return nil, fmt.Errorf("%s: %s", file, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	var second yaml.Node
	if err := d.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: there is more than one document; remove the line ---", file)
	}
	r := reader{file: file, lines: map[string]int{}}
	r.source = newSource(settings, func(key string) string { return key })
	r.read(doc.Content[0], "")
	for i, w := range r.warnings {
		r.warnings[i] = file + ": " + w
	}
	return r.warnings, errors.Join(r.errs...)
}

type reader struct {
	*source
	file  string
	lines map[string]int // where each key was set
	errs  []error
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
		if !r.first(name, key) {
			continue
		}
		s, err := r.find(key)
		switch {
		case err != nil:
			r.wrong(name, "%v", err)
		case s != nil:
			r.set(s, value)
		case slices.ContainsFunc(r.settings, func(s Setting) bool {
			return strings.HasPrefix(s.Key, key+".") || strings.HasPrefix(s.Was, key+".")
		}):
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

func (r *reader) set(s *Setting, n *yaml.Node) {
	n = follow(n)
	if m, ok := s.Value.(mapping); ok {
		r.setMapping(s.Key, m, n)
		return
	}
	set := s.Value.Set
	items := []*yaml.Node{n}
	switch n.Kind {
	case yaml.SequenceNode:
		v, ok := s.Value.(several)
		if !ok {
			r.wrong(n, "%s takes one value, not a list", s.Key)
			return
		}
		v.begin() // an empty list means nothing, instead of the default
		set, items = v.add, n.Content
	case yaml.MappingNode:
		r.wrong(n, "%s takes a value, not more keys", s.Key)
		return
	}
	for _, item := range items {
		item = follow(item)
		if text, ok := r.scalar(s.Key, item); ok {
			if err := set(text); err != nil {
				r.wrong(item, "%s: %v", s.Key, err)
			}
		}
	}
}

// setMapping reads a setting whose keys are names: each has a text or a list of
// texts.
func (r *reader) setMapping(key string, m mapping, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.wrong(n, "%s: there must be lines \"name: value\" here", key)
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], follow(n.Content[i+1])
		if !r.first(name, key+"."+name.Value) {
			continue
		}
		items := []*yaml.Node{value}
		if value.Kind == yaml.SequenceNode {
			items = value.Content
		}
		var texts []string
		for _, item := range items {
			if text, ok := r.scalar(key+"."+name.Value, follow(item)); ok && text != "" {
				texts = append(texts, text)
			}
		}
		if err := m.setKey(name.Value, texts); err != nil {
			r.wrong(name, "%s.%s: %v", key, name.Value, err)
		}
	}
}

// scalar returns the text of a plain value; "key:" and "key: null" are empty.
func (r *reader) scalar(key string, n *yaml.Node) (string, bool) {
	switch {
	case n.Tag == "!!null":
		return "", true
	case n.Kind != yaml.ScalarNode:
		r.wrong(n, "%s takes a plain value", key)
		return "", false
	}
	return n.Value, true
}

// first reports whether a key was not set before, and says so when it was.
func (r *reader) first(n *yaml.Node, key string) bool {
	if at, twice := r.lines[key]; twice {
		r.wrong(n, "%s was set in line %d already", key, at)
		return false
	}
	r.lines[key] = n.Line
	return true
}

// suggest names the setting that may be meant by key.
func (r *reader) suggest(key string) string {
	last := "." + key[strings.LastIndex(key, ".")+1:]
	for _, s := range r.settings {
		if strings.EqualFold(s.Key, strings.ReplaceAll(key, "_", "-")) || s.Flag() == key ||
			strings.HasSuffix(s.Key, last) || strings.HasSuffix(s.Was, last) {
			return "; did you mean " + s.Key + "?"
		}
	}
	return "; pxesrv help settings lists them"
}
