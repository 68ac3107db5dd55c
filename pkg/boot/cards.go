package boot

import (
	"fmt"
	"slices"
	"strings"
)

// addCards adds the names of the cards that were sent: each under its own, then
// the other forms of those on InfiniBand as far as there is room. What names
// nobody goes to OtherMACs.
func (n *namer) addCards() {
	before := len(n.Names)
	usb := n.usb()
	var forms []string
	named := func(mac string) bool { return slices.Contains(n.Names[before:], Name{mac, MAC}) }
	for _, value := range n.MACs {
		full, err := parseHardware(value)
		mac := shortGUID(full)
		why := ""
		switch {
		case value == "" || err == nil && (named(mac) || slices.Contains(n.OtherMACs, mac)):
			continue
		case err != nil:
			n.drop(Dropped{Kind: MAC, Value: value, Why: err.Error()})
			continue
		case n.policy.Placeholders.card(mac):
			why = "is shown by many machines"
		case slices.Contains(usb, mac):
			why = "is a card on USB, which may be in another machine tomorrow"
		case len(n.Names)-before == maxMACs:
			why = fmt.Sprintf("has more than %d cards before it", maxMACs)
		default:
			n.Names = append(n.Names, Name{mac, MAC})
			forms = append(forms, otherForms(full)...)
			continue
		}
		n.drop(Dropped{Kind: MAC, Value: value, Why: why,
			Placeholder: n.policy.Placeholders.card(mac)})
		n.OtherMACs = append(append(n.OtherMACs, mac), otherForms(full)...)
	}
	for _, mac := range forms {
		switch {
		case named(mac) || slices.Contains(n.OtherMACs, mac):
		case len(n.Names)-before == maxMACs:
			n.OtherMACs = append(n.OtherMACs, mac)
		default:
			n.Names = append(n.Names, Name{mac, MAC})
		}
	}
}

// usb are the cards that hang on USB, spelled as names are.
func (c *Claims) usb() []string {
	var all []string
	for _, value := range c.USB {
		if m, err := parseMAC(value); err == nil {
			all = append(all, m)
		}
	}
	return all
}

// otherForms returns what else the card of an address is called, where it is
// one on InfiniBand. It has a GUID of 8 bytes, which is its name; an address of
// 20 bytes that ends in it; and, as Mellanox's boot code and drivers have it,
// an address of 6 bytes, the GUID without the 03:00 or ff:fe in its middle. Of
// 6 bytes alone nobody can tell whether there is a GUID; the maker is a hint.
func otherForms(full string) []string {
	var all []string
	if len(full) == len6 {
		if infiniBand[full[:8]] {
			all = []string{full[:9] + "03-00" + full[8:], full[:9] + "ff-fe" + full[8:]}
		}
		return all
	}
	guid := shortGUID(full)
	if guid[9:14] == "03-00" || guid[9:14] == "ff-fe" {
		all = append(all, guid[:8]+guid[14:])
	}
	if len(full) == len20 {
		all = append(all, full)
	}
	return all
}

// infiniBand are the OUIs of Mellanox, now NVIDIA, in the IEEE's registry: the
// maker of the cards that have all these forms.
var infiniBand = func() map[string]bool {
	all := map[string]bool{}
	for oui := range strings.FieldsSeq(`
		00-02-c9 00-25-8b 04-3f-72 04-c5-cd 08-20-e7 08-c0-eb 0c-42-a1 10-70-fd
		1c-34-da 20-4d-52 24-8a-07 28-01-cd 2c-5e-ab 2c-9d-90 2c-b1-b7 38-25-f3
		50-00-e6 50-6b-4b 54-9b-24 58-a2-e1 5c-25-73 60-5e-65 64-31-36 64-33-aa
		70-79-2d 7c-8c-09 7c-fe-90 8c-91-3a 90-0a-84 90-e3-17 94-6d-ae 98-03-9b
		9c-05-91 9c-63-c0 a0-88-c2 a4-a6-4e b0-cf-0e b4-5c-b5 b8-3f-d2 b8-59-9f
		b8-ce-f6 b8-e9-24 c4-70-bd cc-40-f3 d8-94-24 e0-9d-73 e4-1d-2d e4-6d-ab
		e8-9e-49 e8-eb-d3 ec-0d-9a f0-bc-50 f0-fb-7f f4-52-14 fc-6a-1c`) {
		all[oui] = true
	}
	return all
}()
