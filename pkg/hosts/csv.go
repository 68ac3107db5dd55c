package hosts

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"pxesrv/pkg/ipxe"
)

// ReadCSV reads a list as spreadsheets write it. The first line names the
// columns and shows the separator: a comma, semicolon or tab. Lines end with
// LF, CRLF or CR. Empty lines, lines that begin with #, and "sep=;" before the
// first line are ignored. A cell in quotes may hold separators, but not the end
// of a line.
//
// It returns the rows that are right, and what is wrong with each of the
// others. The error is about the file as a whole: it cannot be read, is not
// UTF-8, or its first line is wrong.
func ReadCSV(r io.Reader, o Options) ([]Row, []*RowError, error) {
	in := newLines(r)
	if start, _ := in.r.Peek(3); bytes.HasPrefix(start, []byte("\xef\xbb\xbf")) {
		in.r.Discard(3)
	} else if bytes.HasPrefix(start, []byte("\xff\xfe")) ||
		bytes.HasPrefix(start, []byte("\xfe\xff")) ||
		len(start) > 1 && (start[0] == 0) != (start[1] == 0) {
		return nil, nil, errors.New(`the file is UTF-16 ("Unicode text"); save it as "CSV UTF-8"`)
	}
	l := newList(o)
	var names []string
	comma := ','
	rows := 0
	for {
		line, err := in.next()
		switch {
		case err == io.EOF && names == nil:
			return nil, nil, errors.New("the file has no first line that names the columns")
		case err == io.EOF:
			good, bad := l.done()
			return good, bad, nil
		case err == errLong && names != nil:
		case err == errLong:
			return nil, nil, fmt.Errorf("line %d: %w", in.number, err)
		case err != nil:
			return nil, nil, err
		}
		text := strings.TrimSpace(line)
		if err == nil && (text == "" || text[0] == '#' ||
			names == nil && len(text) == 5 && strings.EqualFold(text[:4], "sep=")) {
			continue
		}
		if names == nil {
			if comma = separator(line); comma == 0 {
				comma = ','
			}
			if names, err = header(line, comma, o); err != nil {
				return nil, nil, fmt.Errorf("line %d: %w", in.number, err)
			}
			continue
		}
		cells, cut := cut(line, comma)
		if err == nil && cut == nil && strings.Join(cells, "") == "" {
			continue // spreadsheets write an empty line as separators
		}
		if rows++; rows > MaxRows {
			return nil, nil, fmt.Errorf("line %d: more than %d rows", in.number, MaxRows)
		}
		for len(cells) > len(names) && cells[len(cells)-1] == "" {
			cells = cells[:len(cells)-1]
		}
		switch {
		case err == errLong:
			l.fail(in.number, "", "", "%v", err)
		case cut != nil:
			l.fail(in.number, "", "", "%v", cut)
		case len(cells) != len(names):
			l.fail(in.number, "", "", "has %d cells, and the first line names %d columns",
				len(cells), len(names))
		default:
			row := make(map[string]string, len(cells))
			for i, c := range cells {
				row[names[i]] = c
			}
			l.add(in.number, row)
		}
	}
}

// separator returns the most frequent separator of the first line, or 0.
func separator(line string) (best rune) {
	most := 0
	for _, r := range ",;\t" {
		if n := strings.Count(line, string(r)); n > most {
			best, most = r, n
		}
	}
	return best
}

// header reads the first line.
func header(line string, comma rune, o Options) ([]string, error) {
	names, err := cut(line, comma)
	if err != nil {
		return nil, err
	}
	for len(names) > 1 && names[len(names)-1] == "" {
		names = names[:len(names)-1] // spreadsheets keep columns that were emptied
	}
	for i, n := range names {
		names[i] = strings.ToLower(n)
		switch {
		case n == "":
			return nil, fmt.Errorf("column %d has no name", i+1)
		case !slices.Contains(columns, names[i]):
			return nil, fmt.Errorf("the column %q %s", shorten(n), unknown(names[i]))
		case slices.Contains(names[:i], names[i]):
			return nil, fmt.Errorf("the column %q is there twice", n)
		}
	}
	for _, must := range []string{"name", "address"} {
		if !slices.Contains(names, must) {
			return nil, fmt.Errorf("there is no column %q; the first line names the columns, of %s",
				must, strings.Join(columns, ", "))
		}
	}
	if !slices.Contains(names, "server") && len(o.Servers) == 0 {
		return nil, errors.New(
			`there is no column "server", and no boot server is given for all rows`)
	}
	return names, nil
}

// cut cuts a line into cells, without the blanks around them. It cuts each line
// alone, so that an unclosed quote costs only its own line.
func cut(line string, comma rune) ([]string, error) {
	r := csv.NewReader(strings.NewReader(line))
	r.Comma, r.TrimLeadingSpace = comma, comma != '\t'
	cells, err := r.Read()
	switch {
	case err == io.EOF:
		return nil, nil
	case errors.Is(err, csv.ErrQuote):
		return nil, errors.New(
			`has a quote that is not closed, or something behind one: write "a ""b"" c"`)
	case errors.Is(err, csv.ErrBareQuote):
		return nil, errors.New(`has a quote within a cell that is not quoted: write "a ""b"" c"`)
	case err != nil:
		return nil, errors.New("cannot be cut into cells")
	}
	for i, c := range cells {
		cells[i] = strings.TrimSpace(c)
	}
	return cells, nil
}

// WriteCSV writes hosts as ReadCSV reads them. It leaves out what has no
// column: tries, time-outs and Query.
func WriteCSV(w io.Writer, hosts []ipxe.Host) error {
	names := slices.DeleteFunc(slices.Clone(columns), func(c string) bool { return c == "netmask" })
	out := csv.NewWriter(w)
	out.Write(names) // errors show at the end
	for _, h := range hosts {
		vlan, mac := "", ""
		if h.VLAN != 0 {
			vlan = strconv.Itoa(h.VLAN)
		}
		if h.MAC != nil {
			mac = h.MAC.String()
		}
		out.Write([]string{h.Name, mac, h.Card, join(h.Addresses), join(h.Gateways), vlan,
			join(h.DNS),
			strings.Join(h.Search, " "), strings.Join(h.Servers, " ")})
	}
	out.Flush()
	return out.Error()
}

func join[T fmt.Stringer](all []T) string {
	texts := make([]string, len(all))
	for i, a := range all {
		texts[i] = a.String()
	}
	return strings.Join(texts, " ")
}

var errLong = fmt.Errorf("is longer than %d bytes", MaxLine)

// lines reads a text line by line.
type lines struct {
	r      *bufio.Reader
	number int // of the line that next returned last, counted from 1
	buffer []byte
}

func newLines(r io.Reader) *lines { return &lines{r: bufio.NewReaderSize(r, 64<<10)} }

// next returns the next line without its end. The error is io.EOF after the
// last line, and errLong for a line that is too long and was skipped.
func (l *lines) next() (string, error) {
	l.buffer = l.buffer[:0]
	long := false
	for any := false; ; any = true {
		b, err := l.r.ReadByte()
		if err != nil && !(err == io.EOF && any) {
			return "", err
		}
		if err == io.EOF || b == '\n' || b == '\r' {
			if b == '\r' {
				if after, _ := l.r.Peek(1); len(after) > 0 && after[0] == '\n' {
					l.r.Discard(1)
				}
			}
			l.number++
			if long {
				return "", errLong
			}
			return string(l.buffer), nil
		}
		if len(l.buffer) == MaxLine {
			long = true
			continue
		}
		l.buffer = append(l.buffer, b)
	}
}
