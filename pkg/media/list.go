package media

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/hosts"
	"pxesrv/pkg/ipxe"
	"pxesrv/pkg/reread"
)

// maxList is how large a list of hosts may be, in bytes.
const maxList = 256 << 20

// List is a CSV of hosts, as hosts.ReadCSV reads it, that people edit while it
// is in use. It is read again when it has changed. When the file as a whole is
// wrong or unreadable, what was read before stays in force; a wrong row costs
// only its own host. It is safe for concurrent use.
type List struct {
	file  string
	table *reread.Value[*table]
}

// OpenList returns the list in a file. Nothing is read yet.
func OpenList(file string, o hosts.Options) *List {
	return &List{file, reread.File(file, maxList, func(text []byte, _ fs.FileInfo) (*table, error) {
		rows, bad, err := hosts.ReadCSV(bytes.NewReader(text), o)
		if err != nil {
			return nil, err
		}
		return newTable(rows, bad), nil
	})}
}

// table is the hosts of a list by what leads to them.
type table struct {
	hosts  []ipxe.Host
	byName map[string]int // in lower case, as they are and as their files are called
	byMAC  map[string]int // as boot writes it
	bad    []*hosts.RowError
}

func newTable(rows []hosts.Row, bad []*hosts.RowError) *table {
	t := &table{byName: map[string]int{}, byMAC: map[string]int{}, bad: bad}
	for i, r := range rows {
		t.hosts = append(t.hosts, r.Host)
		t.byName[strings.ToLower(r.Host.Name)] = i
		if r.Host.MAC != nil {
			t.byMAC[hyphens(r.Host.MAC)] = i
		}
	}
	// The name of a host's file leads to it, too, unless it is the name of a
	// host or the file of another one.
	files := map[string]int{}
	for i, h := range t.hosts {
		file := strings.ToLower(strings.TrimSuffix(FileName(h.Name), ".iso"))
		if _, taken := files[file]; taken {
			i = -1
		}
		files[file] = i
	}
	for file, i := range files {
		if _, taken := t.byName[file]; !taken && i >= 0 {
			t.byName[file] = i
		}
	}
	return t
}

func hyphens(mac net.HardwareAddr) string { return strings.ReplaceAll(mac.String(), ":", "-") }

// find returns a host by its name, the name of its file, or the MAC of its card
// in any spelling.
func (t *table) find(name string) (ipxe.Host, bool) {
	if i, ok := t.byName[strings.ToLower(name)]; ok {
		return t.hosts[i], true
	}
	if n, err := boot.Meant(name); err == nil && n.Kind == boot.MAC {
		if i, ok := t.byMAC[n.Text]; ok {
			return t.hosts[i], true
		}
	}
	return ipxe.Host{}, false
}

// ErrNoList is returned while nothing is known of a list: it could never be
// read, because it is broken or the disk hangs.
var ErrNoList = errors.New("no list of hosts")

// Find returns a host by its name in any case, by the name of its file, or by
// the MAC of its card in any spelling. A host that is not listed, or whose row
// is wrong, is fs.ErrNotExist; ErrNoList means that this is not known.
func (l *List) Find(name string) (ipxe.Host, error) {
	t, err := l.current()
	if err != nil {
		return ipxe.Host{}, err
	}
	if h, ok := t.find(name); ok {
		return h, nil
	}
	return ipxe.Host{}, notThere(fmt.Sprintf("no host %q in %s", name, l.file))
}

// notThere is an fs.ErrNotExist with a text of its own, since no file is
// missing.
type notThere string

func (e notThere) Error() string { return string(e) }

func (notThere) Is(target error) bool { return target == fs.ErrNotExist }

// File is the file of the list.
func (l *List) File() string { return l.file }

// current returns the hosts that are in force.
func (l *List) current() (*table, error) {
	switch now := l.table.Get(); {
	case now.Good:
		return now.Value, nil
	case errors.Is(now.Err, reread.ErrHangs):
		return nil, fmt.Errorf("%w: %s: %w", ErrNoList, l.file, now.Err)
	default:
		return nil, fmt.Errorf("%w: %w", ErrNoList, l.wrong(now.Err))
	}
}

// wrong names the file in an error, once.
func (l *List) wrong(err error) error {
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		err = path.Err
	}
	return fmt.Errorf("the list of hosts %s: %w", l.file, err)
}

// Contradiction says why a machine with these cards, which calls itself by the
// name of a host, may not be that host; or "". MACs are spelled as boot writes
// them. A machine that names no cards contradicts nothing.
func (l *List) Contradiction(name string, macs []string) string {
	t, err := l.current()
	if err != nil {
		return fmt.Sprintf("it says that it is the host %s, and the list of hosts cannot be read",
			name)
	}
	at, listed := t.byName[strings.ToLower(name)]
	has := false
	for _, m := range macs {
		owner, owned := t.byMAC[m]
		switch {
		case owned && listed && owner == at:
			has = true
		case owned:
			return fmt.Sprintf("it says that it is the host %s, and has the card %s of the host %s",
				name, m, t.hosts[owner].Name)
		}
	}
	if listed && len(macs) > 0 && !has && t.hosts[at].MAC != nil {
		return fmt.Sprintf("it says that it is the host %s, and has not its card %s", name,
			hyphens(t.hosts[at].MAC))
	}
	return ""
}

// ListState is how a list was found when it was last read.
type ListState struct {
	Hosts int               // that are known
	Bad   []*hosts.RowError // what is wrong with rows, by line
	Err   error             // why the file is not what is in force; nil: it is
}

// State reads the list and says how it is.
func (l *List) State() ListState { l.table.Get(); return l.Known() }

// Known says how the list was when it was last read.
func (l *List) Known() (s ListState) {
	now := l.table.Last()
	if now.Good {
		s.Hosts, s.Bad = len(now.Value.hosts), now.Value.bad
	}
	if l.table.Hangs() {
		now.Err = reread.ErrHangs
	}
	if now.Err != nil {
		s.Err = l.wrong(now.Err)
	}
	return s
}

// Hosts returns the hosts that are known, in their order. They must not be
// changed.
func (l *List) Hosts() ([]ipxe.Host, error) {
	t, err := l.current()
	if err != nil {
		return nil, err
	}
	return t.hosts, nil
}
