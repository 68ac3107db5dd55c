//go:build linux

package qemu

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// monitorPatience is how long QEMU may take for a command. It answers at once,
// but on a loaded computer.
const monitorPatience = time.Minute

// monitor is our end of the connection over which QEMU takes commands (QEMU
// Machine Protocol Specification).
type monitor struct {
	*os.File
	answers *json.Decoder
}

// newMonitor makes a connection. Its other end is QEMU's.
func newMonitor() (ours monitor, theirs *os.File, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX,
		unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return monitor{}, nil, err
	}
	end := os.NewFile(uintptr(pair[0]), "monitor")
	return monitor{end, json.NewDecoder(end)}, os.NewFile(uintptr(pair[1]), "monitor of QEMU"), nil
}

// do lets QEMU do something and waits until it is done.
func (m monitor) do(command string, arguments any) error {
	if err := m.SetDeadline(time.Now().Add(monitorPatience)); err != nil {
		return err
	}
	ask := map[string]any{"execute": command, "id": command}
	if arguments != nil {
		ask["arguments"] = arguments
	}
	if err := json.NewEncoder(m).Encode(ask); err != nil {
		return err
	}
	for {
		var said struct {
			ID    string
			Error *struct{ Desc string }
		}
		switch err := m.answers.Decode(&said); {
		case err != nil:
			return err
		case said.ID != command: // the greeting, or an event
		case said.Error != nil:
			return fmt.Errorf("QEMU refuses %s: %s", command, said.Error.Desc)
		default:
			return nil
		}
	}
}

// Reset presses the machine's reset button: it boots once more, with the same
// firmware, media and disk. Expect goes on with what it prints from then on.
func (m *Machine) Reset() {
	m.t.Helper()
	m.pos = len(m.Console())
	m.tell("system_reset", nil)
}

// Screenshot writes what is on the machine's screen to a PNG file. The machine
// needs a graphics card: Args "-vga", "std".
func (m *Machine) Screenshot(file string) {
	m.t.Helper()
	m.tell("screendump", map[string]string{"filename": file, "format": "png"})
}

func (m *Machine) tell(command string, arguments any) {
	m.t.Helper()
	if err := m.monitor.do(command, arguments); err != nil {
		m.t.Fatalf("lab: %v\n%s", err, m.qemuSays())
	}
}
