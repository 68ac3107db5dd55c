package media

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"pxesrv/pkg/reread"
)

// Keys sign a medium's claim of its host. The first key signs and each of them
// verifies, so that a new key can be put first while media with an old
// signature are in use.
//
// A signature is HMAC-SHA256 (RFC 2104) of a label and the name of the host,
// cut to its first 128 bits, in hex digits. Neither a signature nor a
// capability reveals a key, and neither reveals the other.
type Keys struct{ all [][]byte }

// Labels keep signatures for different purposes apart.
const (
	labelHost = "pxesrv host\x00"
	labelURL  = "pxesrv iso url\x00"
)

const (
	keySize   = 32      // bytes of a key; hex digits of it in the file are twice as many
	sumSize   = 16      // bytes of a signature
	maxKeys   = 16      // of one file
	maxKeyLen = 1 << 16 // bytes of a key file
)

// OpenKeys reads a file of keys, 64 hex digits on a line each; empty lines and
// lines that begin with # are ignored. The file is refused when others than its
// owner may read or write it. Errors name the file and never a key.
func OpenKeys(file string) (*Keys, error) {
	text, info, err := reread.ReadFile(file, maxKeyLen)
	if err != nil {
		return nil, keyError(file, err)
	}
	return parseKeys(file, text, info)
}

func keyError(file string, err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the key file %s is not there; make it with pxesrv iso keygen: %w", file,
			fs.ErrNotExist)
	}
	return fmt.Errorf("the key file %s: %w", file, err)
}

func parseKeys(file string, text []byte, info fs.FileInfo) (*Keys, error) {
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("the key file %s has the mode %04o, so others can read or change "+
			"it: chmod 600 %s, and make a new key if they could be strangers", file, mode, file)
	}
	k := &Keys{}
	number := 0
	for line := range bytes.Lines(text) {
		number++
		if line = bytes.TrimSpace(line); len(line) == 0 || line[0] == '#' {
			continue
		}
		key := make([]byte, hex.DecodedLen(len(line)))
		if _, err := hex.Decode(key, line); err != nil || len(key) != keySize {
			return nil, fmt.Errorf("the key file %s, line %d: is no key, which has %d hex "+
				"digits; pxesrv iso keygen makes one", file, number, 2*keySize)
		}
		if len(k.all) == maxKeys {
			return nil, fmt.Errorf("the key file %s, line %d: more than %d keys", file,
				number, maxKeys)
		}
		k.all = append(k.all, key)
	}
	if len(k.all) == 0 {
		return nil, fmt.Errorf("the key file %s has no key; pxesrv iso keygen makes one", file)
	}
	return k, nil
}

// Len is how many keys there are.
func (k *Keys) Len() int { return len(k.all) }

// Sign returns the signature of a host's name.
func (k *Keys) Sign(host string) string { return sign(k.all[0], labelHost, host) }

// Query returns what a host's requests carry beside its name: "hostsig=…".
func (k *Keys) Query(host string) string { return "hostsig=" + k.Sign(host) }

// Verify reports whether one of the keys signed this name of a host. Every
// wrong signature of the right length takes the same time.
func (k *Keys) Verify(host, signature string) bool { return k.verify(labelHost, host, signature) }

// Capability returns the folder of a host's image in its URL.
func (k *Keys) Capability(host string) string { return sign(k.all[0], labelURL, host) }

// Opens reports whether one of the keys made this capability for a host.
func (k *Keys) Opens(host, capability string) bool { return k.verify(labelURL, host, capability) }

func (k *Keys) verify(label, host, signature string) bool {
	signature = strings.ToLower(signature)
	ok := false
	for _, key := range k.all {
		if hmac.Equal([]byte(sign(key, label, host)), []byte(signature)) {
			ok = true
		}
	}
	return ok
}

func sign(key []byte, label, host string) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(label))
	h.Write([]byte(host))
	return hex.EncodeToString(h.Sum(nil)[:sumSize])
}

// NewKey puts a new key before those of a file, or makes the file with it. The
// file is replaced as a whole, with mode 0600. Without rotate, a file that
// exists is an error.
func NewKey(file string, rotate bool) error {
	old, _, err := reread.ReadFile(file, maxKeyLen)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		old = []byte("# Keys of pxesrv for the boot images of hosts. The first one signs, all " +
			"verify. Whoever has one can sign.\n")
	case err != nil:
		return keyError(file, err)
	case !rotate:
		return fmt.Errorf(
			"the key file %s is there already; --rotate puts a new key before those in it", file)
	default:
		if _, err := OpenKeys(file); err != nil {
			return err // the new file would not be readable either
		}
	}
	key := make([]byte, keySize)
	rand.Read(key) // never fails
	line := hex.AppendEncode(nil, key)
	if line = append(line, '\n'); rotate && err == nil {
		line = append(line, old...)
	} else {
		line = append(old, line...)
	}
	return replace(file, line)
}

// replace writes a file that only its owner may read, aside and then by a
// rename.
func replace(file string, text []byte) (err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	aside, err := os.CreateTemp(filepath.Dir(file), ".new-*") // with the mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(aside.Name())
		}
	}()
	_, err = aside.Write(text)
	if err == nil {
		err = aside.Sync()
	}
	if cerr := aside.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(aside.Name(), file)
	}
	return err
}
