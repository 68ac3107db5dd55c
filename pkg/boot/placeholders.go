package boot

import (
	_ "embed"
	"slices"
	"strings"
	"unicode"
)

// Placeholders is a list of values that name no machine, and of rules for them.
// The zero value is the built-in list.
type Placeholders struct{ more *list }

//go:embed placeholders.txt
var placeholderText string

var builtIn = parseList(placeholderText)

// With returns the list with the lines of text added, in the form of
// placeholders.txt.
func (p Placeholders) With(text string) Placeholders {
	more := newList()
	if p.more != nil {
		more.lines = p.more.lines
	}
	more.add(more.lines + text + "\n")
	return Placeholders{more}
}

// list is the lines of a file, by kind. Texts are bare: without case, blanks
// and punctuation.
type list struct {
	lines    string
	texts    map[string]bool // true: of a manufacturer, too
	counters map[string]bool // what a counter may follow
	runs     map[string]bool // what a counting run may follow
	begins   []string
	ends     []string
	again    map[byte]bool // characters that mean nothing however few of them
	uuids    []string
	cards    map[string]bool
}

func newList() *list {
	return &list{
		texts: map[string]bool{}, counters: map[string]bool{}, runs: map[string]bool{},
		again: map[byte]bool{}, cards: map[string]bool{},
	}
}

func parseList(text string) *list {
	l := newList()
	l.add(text)
	return l
}

func (l *list) add(text string) {
	l.lines = text
	manufacturers := true
	for line := range strings.Lines(text) {
		switch line = strings.TrimSpace(line); {
		case line == "" || line[0] == '#':
		case line == "[not of a manufacturer]":
			manufacturers = false
		default:
			for _, text := range alternatives(line) {
				l.addLine(text, manufacturers)
			}
		}
	}
}

// alternatives are the texts that a line with (a|b) stands for.
func alternatives(line string) []string {
	head, rest, found := strings.Cut(line, "(")
	choice, tail, closed := strings.Cut(rest, ")")
	if !found || !closed {
		return []string{line}
	}
	var all []string
	for _, rest := range alternatives(tail) {
		for one := range strings.SplitSeq(choice, "|") {
			all = append(all, head+one+rest)
		}
	}
	return all
}

func (l *list) addLine(text string, manufacturers bool) {
	head, counter := strings.CutSuffix(text, "<n>")
	code, run := strings.CutSuffix(text, "<run>")
	begin, begins := strings.CutSuffix(text, "*")
	end, ends := strings.CutPrefix(text, "*")
	one, again := strings.CutSuffix(text, "...")
	m, notCard := parseMAC(text)
	switch {
	case again && len(one) == 1 && isAlnum(one[0]):
		l.again[bare(one)[0]] = true
		return
	case isUUIDPattern(text):
		l.uuids = append(l.uuids, strings.ToLower(text))
		return
	case notCard == nil:
		l.cards[m] = true
	case run && bare(code) != "":
		l.runs[bare(code)] = true
		return
	case begins && len(bare(begin)) >= 4: // shorter ones would be the beginning of too much
		begin = bare(begin)
		l.begins = append(l.begins, begin)
		text = begin
	case ends && len(bare(end)) >= 4:
		end = bare(end)
		l.ends = append(l.ends, end)
		text = end
	case counter && bare(head) != "":
		l.counters[bare(head)] = true
		text = head
	}
	if text = bare(text); text != "" {
		l.texts[text] = l.texts[text] || manufacturers
	}
}

// text reports whether a serial number, asset tag, host name or manufacturer
// names nobody.
func (p Placeholders) text(value string, manufacturer bool) bool {
	b := bare(value)
	if b == "" || repeats(b) || counts(b) {
		return true
	}
	return builtIn.has(b, manufacturer) || p.more != nil && p.more.has(b, manufacturer)
}

func (l *list) has(b string, manufacturer bool) bool {
	if maker, ok := l.texts[b]; ok && (maker || !manufacturer) {
		return true
	}
	return l.again[b[0]] && same(b) ||
		slices.ContainsFunc(l.begins, func(s string) bool { return strings.HasPrefix(b, s) }) ||
		slices.ContainsFunc(l.ends, func(s string) bool { return strings.HasSuffix(b, s) }) ||
		l.hasCounted(b)
}

// hasCounted reports whether b is a text of the list with a counter or a
// counting run behind it.
func (l *list) hasCounted(b string) bool {
	// From the first digit on: SYS-1234567890, SerialNumber123.
	at := 0
	for at < len(b) && !isDigit(b[at]) {
		at++
	}
	head, tail := b[:at], b[at:]
	if isRun(tail, 3) && l.counters[head] {
		return true
	}
	if (isRun(tail, 5) || len(tail) >= 5 && same(tail)) && l.runs[head] {
		return true
	}
	// The last two digits: SerNum01, Type1Sku0.
	at = len(b)
	for at > 0 && isDigit(b[at-1]) && len(b)-at < 2 {
		at--
	}
	if at < len(b) && l.counters[b[:at]] {
		return true
	}
	// One character again and again: Serial Number xxxxxx, SN XXXXX.
	last := b[len(b)-1]
	for at = len(b); at > 0 && b[at-1] == last; {
		at--
	}
	head, n := b[:at], len(b)-at
	return n >= 3 && l.counters[head] ||
		n >= 5 && last == 'x' && l.runs[head]
}

// uuid reports whether a uuid, in lower case and perhaps swapped, names nobody.
func (p Placeholders) uuid(u string) bool {
	if isPattern(u) || builtIn.hasUUID(u) {
		return true
	}
	return p.more != nil && (p.more.hasUUID(u) || p.more.texts[bare(u)])
}

func (l *list) hasUUID(u string) bool {
	return slices.ContainsFunc(l.uuids, func(pattern string) bool { return matches(u, pattern) })
}

// card reports whether a card is one that many machines show.
func (p Placeholders) card(m string) bool {
	return builtIn.hasCard(m) || p.more != nil && p.more.hasCard(m)
}

func (l *list) hasCard(m string) bool {
	return l.cards[m] || l.again[m[0]] && same(bare(m))
}

// isUUIDPattern reports whether a line is a uuid, in which "?" is any digit and
// "__" a blank byte.
func isUUIDPattern(text string) bool {
	_, err := parseUUID(strings.NewReplacer("?", "0", "_", "0").Replace(text))
	return err == nil && len(text) == 36
}

func matches(u, pattern string) bool {
	for i := 0; i < len(u); i++ {
		switch pattern[i] {
		case '?', u[i]:
		case '_':
			// A blank or NUL, perhaps with the high bit, which Dell sets in
			// one of them.
			switch u[i : i+2] {
			case "20", "00", "80", "a0":
				i++
			default:
				return false
			}
		default:
			return false
		}
	}
	return true
}

// isPattern reports whether nobody but a typist made a uuid: its bytes are all
// the same or count (00010203-…, 00112233-…), or each of its groups is one
// digit or counts (11111111-2222-…, 12345678-1234-…). By chance one of 2^80 is
// so.
func isPattern(u string) bool {
	groups := true
	for at := 0; at < len(u); {
		end := at
		for end < len(u) && u[end] != '-' {
			end++
		}
		if group := u[at:end]; !same(group) && !upward(group) {
			groups = false
			break
		}
		at = end + 1
	}
	if groups {
		return true
	}
	// The fields may stand in either order; whoever asks does so for both.
	var last, step byte
	n := 0
	for i := 0; i+1 < len(u); i += 2 {
		if u[i] == '-' {
			i++
		}
		b := hexDigit(u[i])<<4 | hexDigit(u[i+1])
		switch n++; {
		case n == 1:
		case n == 2:
			step = b - last
		case b-last != step:
			return false
		}
		last = b
	}
	return true
}

// upward reports whether a group of a uuid counts up, from whatever digit, and
// begins anew after four digits at the earliest.
func upward(group string) bool {
	began := 0
	for i := 1; i < len(group); i++ {
		if !follows(group[i-1], group[i], true) {
			if i-began < 4 {
				return false
			}
			began = i
		}
	}
	return len(group)-began >= 4
}

// counts reports whether a text is a counting run, or letters and a long one.
// Behind a few letters a shorter one may well be a serial number: MXQ12345678.
func counts(b string) bool {
	if len(b) > 2 && b[0] == '0' && b[1] == 'x' {
		if b = b[2:]; same(b) {
			return true
		}
	}
	if isRun(b, 5) || isCountdown(b) {
		return true
	}
	at := 0
	for at < len(b) && 'a' <= b[at] && b[at] <= 'z' {
		at++
	}
	return isRun(b[at:], 9) || len(b)-at >= 9 && isCountdown(b[at:])
}

// isRun reports whether digits count up from 0 or 1, at least so many of them:
// 12345, 0123456789ABCDEF, 12345678901234567. After the 9, zeros may fill up
// the rest.
func isRun(b string, least int) bool {
	if len(b) < max(least, 1) || b[0] != '0' && b[0] != '1' {
		return false
	}
	zeros := false
	for i := 1; i < len(b); i++ {
		switch {
		case zeros && b[i] == '0':
		case zeros || !follows(b[i-1], b[i], i >= 8):
			// 1234567890 may end in more zeros, and in no other digit after
			// them.
			if zeros || b[i] != '0' || b[i-1] != '0' || i < 9 {
				return false
			}
			zeros = true
		}
	}
	return true
}

// follows reports whether b is the digit after a: 9 is followed by 0, or by A
// where that may be.
func follows(a, b byte, hex bool) bool {
	switch {
	case a == '9':
		return b == '0' || hex && b == 'a'
	case a == 'f':
		return b == '0'
	case a == '0' && b == 'a':
		return hex // 1234567890ABCDEF
	}
	return b == a+1 && (isDigit(b) || 'a' <= b && b <= 'f')
}

// isCountdown reports whether eight digits or more count down to 1 or 0:
// 9876543210, 0987654321.
func isCountdown(b string) bool {
	if len(b) > 1 && b[0] == '0' && b[1] == '9' {
		b = b[1:]
	}
	for i := 1; i < len(b); i++ {
		if b[i]+1 != b[i-1] {
			return false
		}
	}
	return len(b) >= 8 && isDigit(b[0]) && b[len(b)-1] <= '1'
}

// repeats reports whether a text is one digit five times, one letter four
// times, or a pair of characters four times, or more often.
func repeats(b string) bool {
	if same(b) {
		return len(b) >= 5 || len(b) == 4 && !isDigit(b[0])
	}
	for i := 2; i < len(b); i++ {
		if b[i] != b[i-2] {
			return false
		}
	}
	return len(b) >= 8
}

func same(b string) bool {
	for i := 1; i < len(b); i++ {
		if b[i] != b[0] {
			return false
		}
	}
	return len(b) > 0
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

func hexDigit(b byte) byte {
	if isDigit(b) {
		return b - '0'
	}
	return b - 'a' + 10
}

// bare is value without case, blanks and punctuation. Letters of other
// alphabets count as letters.
func bare(value string) string {
	return strings.Map(func(r rune) rune {
		if r = unicode.ToLower(r); r >= 0x80 || isAlnum(byte(r)) {
			return r
		}
		return -1
	}, value)
}
