package boot

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Machine is the machine that asks: what it claims, and the names that follow.
type Machine struct {
	Claims
	Names    []Name     // strongest first, at most MaxNames
	Addr     netip.Addr // the source address, also where it is no name
	Conflict string     // why it is not certain who is asking; then no order is granted
	NoOrders string     // why this kind of request takes no order, whoever asks
	Unsure   string     // why nobody can know who is asking; then there is no answer (ErrUnsure)
	Dropped  []Dropped  // claims that became no name, the first 16

	// OtherMACs are the MACs that were sent and are no names, in the spelling
	// of names: of cards that move or that many machines show, and those beyond
	// the ninth. A file in protect/ guards the machine under them as well.
	OtherMACs []string
}

// AllMACs are all MACs that were sent, whether they name the machine or not.
func (m *Machine) AllMACs() []string {
	var all []string
	for _, n := range m.Names {
		if n.Kind == MAC {
			all = append(all, n.Text)
		}
	}
	return append(all, m.OtherMACs...)
}

// Guards are the texts under which protect/ guards the machine: its names, in
// their order, and then its other cards.
func (m *Machine) Guards() []string {
	return append(m.Texts(), m.OtherMACs...)
}

// Texts are the names as the tree has them.
func (m *Machine) Texts() []string {
	all := make([]string, len(m.Names))
	for i, n := range m.Names {
		all[i] = n.Text
	}
	return all
}

// Name returns that of the names which has this text.
func (m *Machine) Name(text string) Name {
	for _, n := range m.Names {
		if n.Text == text {
			return n
		}
	}
	return Name{}
}

// Dropped is a claim that became no name, and why.
type Dropped struct {
	Kind  Kind   `json:"kind"`
	Value string `json:"value"`
	Why   string `json:"why"`
	// Placeholder: the value is one that boards carry when nobody filled in the
	// real one.
	Placeholder bool `json:"placeholder,omitempty"`
}

// maxMACs is the eight cards that the identification script names, and the one
// that booted. It leaves room for every other kind of name in MaxNames.
const maxMACs = 9

// maxDropped is how many claims that became no name are kept: a client can send
// thousands.
const maxDropped = 16

// NamePolicy is how a site turns claims into names. The zero value is the usual
// way.
type NamePolicy struct {
	// networks behind NAT: an address from there names no single machine
	NoAddress    []netip.Prefix
	Placeholders Placeholders // values that name nobody; the zero value is the built-in list
}

// Identify returns the machine that makes these claims from a source address,
// with its names, strongest first:
//
//	uuid as sent, then with its first three fields byte-swapped ·
//	manufacturer-serial · serial, or where that is none the base board's ·
//	asset · each MAC · host · address
//
// An empty claim, a placeholder and a card on USB give no name. Neither does a
// free-form text that looks like an address, a MAC or a uuid: it could be taken
// for another machine's. The address comes from the connection, never from the
// claims.
func Identify(c Claims, addr netip.Addr, policy NamePolicy) Machine {
	n := namer{policy: policy, Machine: Machine{
		Claims: c, Addr: addr.Unmap().WithZone(""), Names: make([]Name, 0, MaxNames),
	}}
	if len(c.Twice) > 0 {
		n.Conflict = fmt.Sprintf("the request says %s twice, differently",
			strings.Join(c.Twice, " and "))
	}
	n.addUUID()
	if !n.addSerial() {
		n.addText(Board, c.Board)
	}
	n.addText(Asset, c.Asset)
	n.addCards()
	n.addText(Host, c.Host)
	n.addAddress()
	return n.Machine
}

// namer gives a machine its names.
type namer struct {
	Machine
	policy NamePolicy
}

// add adds a name, unless the machine has it already.
func (n *namer) add(k Kind, text string) {
	if n.Name(text).Text == "" {
		n.Names = append(n.Names, Name{text, k})
	}
}

// drop notes that a claim became no name.
func (n *namer) drop(d Dropped) {
	if len(n.Dropped) < maxDropped {
		n.Dropped = append(n.Dropped, d)
	}
}

func (n *namer) dropPlaceholder(k Kind, value string) {
	n.drop(Dropped{Kind: k, Value: value, Why: "is a placeholder", Placeholder: true})
}

// freeForm reports whether the value became a name.
func (n *namer) freeForm(k Kind, value string) bool {
	text, err := FreeForm(value)
	if err != nil {
		n.drop(Dropped{Kind: k, Value: value, Why: err.Error()})
		return false
	}
	n.add(k, text)
	return true
}

// addText reports whether the value, which may be a placeholder, became a name.
func (n *namer) addText(k Kind, value string) bool {
	switch {
	case value == "":
		return false
	case n.policy.Placeholders.text(value, false):
		n.dropPlaceholder(k, value)
		return false
	}
	return n.freeForm(k, value)
}

func (n *namer) addUUID() {
	if n.UUID == "" {
		return
	}
	u, err := parseUUID(n.UUID)
	if err != nil {
		n.drop(Dropped{Kind: UUID, Value: n.UUID, Why: err.Error()})
		return
	}
	swapped := swapUUID(u)
	if n.policy.Placeholders.uuid(u) || n.policy.Placeholders.uuid(swapped) {
		n.dropPlaceholder(UUID, n.UUID)
		return
	}
	n.add(UUID, u)
	n.add(UUID, swapped)
}

// addSerial adds the serial behind its manufacturer, and alone. It reports
// whether that became a name.
func (n *namer) addSerial() bool {
	known := n.Serial != "" && !n.policy.Placeholders.text(n.Serial, false)
	if known && n.Manufacturer != "" && !n.policy.Placeholders.text(n.Manufacturer, true) {
		if maker, serial := squash(n.Manufacturer), squash(n.Serial); maker != "" && serial != "" {
			n.freeForm(ManufacturerSerial, maker+"-"+serial)
		}
	}
	return n.addText(Serial, n.Serial)
}

func (n *namer) addAddress() {
	if !n.Addr.IsValid() {
		return
	}
	name, err := addressName(n.Addr)
	isNAT := func(p netip.Prefix) bool { return p.Contains(n.Addr) }
	if slices.ContainsFunc(n.policy.NoAddress, isNAT) {
		err = errors.New("is in a network whose addresses name no single machine")
	}
	if err != nil {
		n.drop(Dropped{Kind: Address, Value: n.Addr.String(), Why: err.Error()})
		return
	}
	n.add(Address, name)
}
