package boot

// MaxNames is the largest number of names a machine has.
const MaxNames = 16

// Kind says which claim a name comes from.
type Kind string

const (
	UUID               Kind = "uuid"
	ManufacturerSerial Kind = "manufacturer-serial"
	Serial             Kind = "serial"
	Board              Kind = "board"
	Asset              Kind = "asset"
	MAC                Kind = "mac"
	Host               Kind = "host"
	Address            Kind = "ip"
	Typed              Kind = "name" // a person typed it, and it may be any free-form claim
)

// Name is one name of a machine in its canonical spelling: the name of its
// files in the tree.
//
// uuid and MAC are lower case, a MAC is written with hyphens, an address as RFC
// 5952 has it, without zone and IPv4-mapped ones as IPv4. A free-form text
// keeps its case, and each run of other characters became one hyphen.
type Name struct {
	Text string `json:"name"`
	Kind Kind   `json:"kind"`
}

func (n Name) String() string { return n.Text }
