package check

import (
	"time"
)

// Level says how bad a finding is.
type Level string

const (
	Error   Level = "error"   // a machine that gets there does not boot what the tree seems to say
	Warning Level = "warning" // works for some machines only, or is likely not what was meant
	Note    Level = "note"    // worth knowing
)

// Finding is one thing found in a tree.
type Finding struct {
	File  string `json:"file"`           // relative to the root where it lies below it
	Line  int    `json:"line,omitempty"` // of a script, counted from 1; 0: the file as a whole
	Level Level  `json:"level"`
	Code  string `json:"code"` // names the kind of finding for programs
	What  string `json:"what"`
	Do    string `json:"do"`
}

// Codes of findings. Entries that cannot be served have the codes of package
// boot (missing, outside, hidden, not-file, not-link, empty, no-script,
// too-large, changing), problems in scripts those of package ipxe.
const (
	Unreadable  = "unreadable"  // cannot be read: machines get status 503
	NoDefault   = "no-default"  // there is no default
	Misspelt    = "misspelt"    // the name is written otherwise
	NoName      = "no-name"     // no machine can have this name
	Extension   = "extension"   // the name has the ending of a file
	LooksLike   = "looks-like"  // taken for a serial, and looks like something else
	Placeholder = "placeholder" // many machines have this name, so it names none
	Twice       = "twice"       // another entry means the same machine
	Protected   = "protected"   // the machine is protected
	Tracked     = "tracked"     // an order is in Git
	Old         = "old-order"   // an order nobody came for
	Route       = "route"       // hidden by an address that the server answers itself
	RootLink    = "root-link"   // a swap of the root leaves the orders behind
	Sticky      = "sticky"      // the daemon cannot take orders away
	NoOnce      = "no-once"     // there is no directory for orders
	// the daemon may not write the directory of the orders, or its journal
	Rights      = "rights"
	Secret      = "secret"      // everybody on the network can read a password or key
	Readable    = "readable"    // everybody on this machine can read what is private
	Loader      = "loader"      // a boot loader, and what it can do
	OnlyServer  = "not-in-git"  // a file that a script wants is not here, and Git ignores it
	Certificate = "certificate" // of TLS, its key, and the CAs of clients
	Hosts       = "iso-hosts"   // the list of hosts for boot images, or a row of it
	Unserved    = "not-served"  // a file that a script wants is there, and is not given out
	oldAfter    = 30 * 24 * time.Hour
	reportEvery = 500
)
