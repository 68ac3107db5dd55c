package order

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"time"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/tree"
)

// The journal is two directories of symbolic links below the directory of the
// orders. Each entry keeps the text of the order's link and has a name of its
// own, so nothing is ever overwritten:
//
//	<name>~<time>~<replica>~<random>~<source address>[~<end>]
//
// "~" cannot occur in any of the fields. What a person made or ended has
// <actor>@<replica> as its replica, and versions that know no actor read that
// as the name of a replica. An order that waits has no entry yet: only the
// event tells who placed it. An entry in .claimed is open: it was sent, and
// nobody knows whether it arrived. An entry in .served without an end arrived.
// Without an address it is "-": the client came by a Unix socket, or nobody was
// sent it.
const (
	claimedDir = ".claimed"
	servedDir  = ".served"
)

// Outcome says how an order ended that was not confirmed, or that nobody was
// sent.
type Outcome string

const (
	Arrived Outcome = ""       // the client's TCP acknowledged all of it
	Resent  Outcome = "resent" // still open, and sent again to the machine that retried
	// still open: not sent, and the daemon was killed while it gave it back
	GivenUp    Outcome = "given-up"
	Canceled   Outcome = "canceled"   // a person took the pending order back
	Dismissed  Outcome = "dismissed"  // open, and a person let it be
	Retried    Outcome = "retried"    // open, and a person placed it again
	Superseded Outcome = "superseded" // given back, but a newer order had its place
	Released   Outcome = "released"   // no order: a person allowed the name to be granted again
	Placed     Outcome = "placed"     // of events alone: a person placed the order, and it waits
)

// Record is an entry of the journal.
type Record struct {
	Name    string    `json:"name"`
	Time    time.Time `json:"time"`
	Replica string    `json:"replica"`
	// the person who did it; "": the daemon, or nobody knows
	Actor  string `json:"actor,omitempty"`
	Random string `json:"-"`
	// who was sent the order; not valid when nobody was, or came by a Unix
	// socket
	Addr   netip.Addr `json:"address,omitzero"`
	End    Outcome    `json:"end,omitempty"`
	Target string     `json:"target,omitempty"` // the text of the order's link; filled in by List
}

const timeForm = "20060102T150405.000000000Z"

// String is the name of the claim's file.
func (c Record) String() string {
	addr := "-"
	if c.Addr.IsValid() {
		addr = c.Addr.String()
	}
	replica := c.Replica
	if c.Actor != "" {
		replica = c.Actor + "@" + replica
	}
	s := c.Name + "~" + c.Time.UTC().Format(timeForm) + "~" + replica + "~" + c.Random + "~" + addr
	if c.End != "" {
		s += "~" + string(c.End)
	}
	return s
}

// as is the name of the claim's file with another end.
func (c Record) as(end Outcome) string {
	c.End = end
	return c.String()
}

// maxFile is how long the name of a file may be, also while the entry is aside.
const maxFile = 255 - len(tree.Aside)

// endedBy is the record with the end that a person gave it. In the actor's name
// characters that no file's name should have become "_", and the end of a long
// name is cut.
func (c Record) endedBy(actor string, end Outcome) Record {
	c.End, c.Actor = end, ""
	actor = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == '~' || r == '/' {
			return '_'
		}
		return r
	}, actor)
	room := maxFile - len(c.String()+"@")
	c.Actor = actor[:min(len(actor), maxActor, max(room, 0))]
	return c
}

// maxActor is how much of the name of a person is kept.
const maxActor = 32

// open reports whether an entry of .claimed waits for its end.
func (c Record) open() bool { return c.End == Arrived || c.End == Resent || c.End == GivenUp }

// sent reports whether the order counts as granted.
func (c Record) sent() bool {
	return c.End != GivenUp && c.End != Canceled && c.End != Superseded && c.End != Released
}

// ParseRecord reads the name of an entry. ok is false for other files.
func ParseRecord(file string) (c Record, ok bool) {
	f := strings.Split(file, "~")
	if len(f) != 5 && len(f) != 6 || !boot.IsName(f[0]) {
		return c, false
	}
	t, err := time.Parse(timeForm, f[1])
	if err != nil || f[2] == "" || f[3] == "" {
		return c, false
	}
	c = Record{Name: f[0], Time: t, Replica: f[2], Random: f[3]}
	if at := strings.LastIndexByte(f[2], '@'); at >= 0 {
		c.Actor, c.Replica = f[2][:at], f[2][at+1:]
	}
	if f[4] != "-" {
		if c.Addr, err = netip.ParseAddr(f[4]); err != nil {
			return c, false
		}
	}
	if len(f) == 6 {
		c.End = Outcome(f[5])
	}
	return c, true
}

func (s *Store) newRecord(name string, addr netip.Addr) Record {
	var b [5]byte
	rand.Read(b[:])
	return Record{
		Name: name, Time: s.now().UTC(), Replica: s.replica(), Addr: addr,
		Random: strings.ToLower(base32.StdEncoding.EncodeToString(b[:])),
	}
}

// replica is the name of this daemon in the journal. It is for people; claims
// are told apart by their random part.
func (s *Store) replica() string {
	name := s.Replica
	if name == "" {
		name, _ = os.Hostname()
	}
	name = strings.Map(func(r rune) rune {
		if r < 0x80 && (r == '-' || r == '.' || '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' ||
			'a' <= r && r <= 'z') {
			return r
		}
		return -1
	}, name)
	if name == "" {
		return "pxesrv"
	}
	return name[:min(len(name), 24)]
}

// open opens the directory of the orders and one of its journals, which is made
// when it is not there.
func (s *Store) open(journal string) (once, sub *tree.Dir, err error) {
	if once, err = tree.OpenDir(s.Dir); err != nil {
		return nil, nil, err
	}
	if sub, err = journalOf(once, journal); err != nil {
		once.Close()
		return nil, nil, err
	}
	return once, sub, nil
}

func journalOf(once *tree.Dir, journal string) (*tree.Dir, error) {
	sub, err := once.Sub(journal)
	if errors.Is(err, fs.ErrNotExist) {
		if err = once.Mkdir(journal); err == nil || errors.Is(err, fs.ErrExist) {
			sub, err = once.Sub(journal)
		}
	}
	return sub, err
}

// entries lists a journal without other files.
func (s *Store) entries(journal string) ([]Record, error) {
	once, err := tree.OpenDir(s.Dir)
	if tree.Absent(err) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer once.Close()
	d, err := once.Sub(journal)
	if tree.Absent(err) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Names()
	if err != nil {
		return nil, err
	}
	claims := make([]Record, 0, len(names))
	for _, n := range names {
		if c, ok := ParseRecord(n); ok {
			claims = append(claims, c)
		}
	}
	return claims, nil
}
