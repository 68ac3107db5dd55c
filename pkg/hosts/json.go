package hosts

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// ReadJSON reads a list of objects, one a line, whose keys are the columns of
// ReadCSV. A value is a string, a number, null, or an array of strings where
// there may be several. Empty lines are ignored.
//
// It returns the rows that are right, and what is wrong with each of the
// others. The error is about the whole: it cannot be read, or has more than
// MaxRows lines.
func ReadJSON(r io.Reader, o Options) ([]Row, []*RowError, error) {
	in := newLines(r)
	l := newList(o)
	rows := 0
	for {
		line, err := in.next()
		if err == io.EOF {
			good, bad := l.done()
			return good, bad, nil
		}
		if err != nil && err != errLong {
			return nil, nil, err
		}
		if err == nil && strings.TrimSpace(line) == "" {
			continue
		}
		if rows++; rows > MaxRows {
			return nil, nil, fmt.Errorf("line %d: more than %d rows", in.number, MaxRows)
		}
		if err == errLong {
			l.fail(in.number, "", "", "%v", err)
			continue
		}
		cells, bad := object(line)
		for _, e := range bad {
			l.fail(in.number, e.Column, e.Value, "%s", e.Why)
		}
		if len(bad) == 0 {
			l.add(in.number, cells)
		}
	}
}

// object reads a line with one object.
func object(line string) (map[string]string, []*RowError) {
	whole := func(why string) (map[string]string, []*RowError) {
		return nil, []*RowError{{Why: why}}
	}
	d := json.NewDecoder(strings.NewReader(line))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return whole("is no JSON object; each line has one, as in {\"name\": \"web1\", …}")
	}
	cells := map[string]string{}
	var bad []*RowError
	for d.More() {
		t, err := d.Token()
		key, isText := t.(string)
		var value json.RawMessage
		if err != nil || !isText || d.Decode(&value) != nil {
			return whole("is no JSON")
		}
		text, err := cell(value)
		_, twice := cells[key]
		switch {
		case !slices.Contains(columns, key):
			bad = append(bad, &RowError{Column: "the key", Value: key,
				Why: unknown(strings.ToLower(key))})
		case twice:
			bad = append(bad, &RowError{Column: "the key", Value: key, Why: "is there twice"})
		case err != nil:
			bad = append(bad, &RowError{Column: key, Value: string(value), Why: err.Error()})
		}
		cells[key] = strings.TrimSpace(text)
	}
	if _, err := d.Token(); err != nil {
		return whole("is no JSON")
	}
	if _, err := d.Token(); err != io.EOF {
		return whole("has something behind its object")
	}
	return cells, bad
}

// cell returns a value as the cell of a CSV has it.
func cell(value json.RawMessage) (string, error) {
	var text string
	var number json.Number
	var several []string
	switch {
	case string(value) == "null":
		return "", nil
	case value[0] == '"' && json.Unmarshal(value, &text) == nil:
		return text, nil
	case value[0] == '[' && json.Unmarshal(value, &several) == nil:
		return strings.Join(several, " "), nil
	case strings.IndexByte("-0123456789", value[0]) >= 0 && json.Unmarshal(value, &number) == nil:
		return number.String(), nil
	}
	return "", errors.New("is no text, number, or array of texts")
}
