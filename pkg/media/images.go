package media

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"strings"

	"pxesrv/pkg/ipxe"
	"pxesrv/pkg/iso"
	"pxesrv/pkg/reread"
)

// Signing says whether a medium's claim of its host must be signed.
type Signing string

const (
	SignAuto Signing = "auto" // if there is, or was since the start, a key file
	SignOn   Signing = "on"
	SignOff  Signing = "off"
)

// Keyring is the keys that are in force. The file is read again when it has
// changed; when it is wrong or unreadable, the keys that were read before stay
// in force. It is safe for concurrent use.
type Keyring struct {
	file    string
	signing Signing
	keys    *reread.Value[*Keys]
}

// OpenKeyring returns the keys in a file. Nothing is read yet.
func OpenKeyring(file string, s Signing) *Keyring {
	return &Keyring{file, s,
		reread.File(file, maxKeyLen, func(text []byte, info fs.FileInfo) (*Keys, error) {
			return parseKeys(file, text, info)
		})}
}

// Keys returns the keys in force; nil without an error means that nothing is
// signed. An error means that there should be keys and none is known.
func (r *Keyring) Keys() (*Keys, error) {
	if r.signing == SignOff {
		return nil, nil
	}
	switch now := r.keys.Get(); {
	case now.Good:
		return now.Value, nil
	case r.signing == SignAuto && errors.Is(now.Err, fs.ErrNotExist):
		return nil, nil
	default:
		return nil, r.wrong(now.Err)
	}
}

// wrong adds the name of the file to an error that has none.
func (r *Keyring) wrong(err error) error {
	if strings.HasPrefix(err.Error(), "the key file ") {
		return err
	}
	return keyError(r.file, err)
}

// Err says why the file is not what is in force; nil: it is.
func (r *Keyring) Err() error {
	keys, err := r.Keys()
	if err != nil || keys == nil {
		return err
	}
	if err := r.keys.Last().Err; err != nil {
		return fmt.Errorf("%w (the keys that were read before stay in force)", r.wrong(err))
	}
	return nil
}

// Images is the images of all hosts of a list. It reads the list, the keys and
// the loader files again for each image when they have changed, and keeps no
// image: one is some kilobytes beside the template that all have in common.
type Images struct {
	List    *List
	Keyring *Keyring
	Partial bool // images may leave out a firmware that cannot do what a host needs

	loaders *reread.Value[*Loaders]
}

// NewImages returns the images of the hosts of a list. Nothing is read yet.
func NewImages(list *List, keyring *Keyring, paths LoaderPaths, partial bool) *Images {
	var last *Loaders // that were read, also when they are no good
	return &Images{List: list, Keyring: keyring, Partial: partial,
		loaders: reread.New(func() func() (*Loaders, error) {
			if last != nil && !last.Stale() {
				return nil
			}
			l := readLoaders(paths)
			last = l
			return func() (*Loaders, error) { return l, l.judge() }
		})}
}

// Watch has changed called when another list, other keys or other loaders are
// found. It must not wait. Call Watch before the first use.
func (s *Images) Watch(changed func()) {
	s.List.table.Changed, s.Keyring.keys.Changed, s.loaders.Changed = changed, changed, changed
}

// ErrNoImage is returned for a host that is known and has no image.
var ErrNoImage = errors.New("the image cannot be made")

// Image returns the image of a path below /iso/: NAME.iso or, when images are
// signed, CAPABILITY/NAME.iso. Any other path is fs.ErrNotExist, also when only
// the capability is wrong.
func (s *Images) Image(name string) (*iso.Image, error) {
	dir, file := path.Split(name)
	host, isISO := strings.CutSuffix(file, ".iso")
	if !isISO || host == "" {
		return nil, fs.ErrNotExist
	}
	keys, err := s.Keyring.Keys()
	if err != nil {
		return nil, err
	}
	h, err := s.List.Find(host)
	if err != nil {
		return nil, err
	}
	capability := strings.TrimSuffix(dir, "/")
	if keys == nil && dir != "" || keys != nil && !keys.Opens(h.Name, capability) {
		return nil, notThere(
			fmt.Sprintf("the image of the host %s is not given out under this address", h.Name))
	}
	loaders, err := s.Loaders()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoImage, err)
	}
	m, err := s.make(loaders, keys, h)
	if err != nil {
		return nil, fmt.Errorf("%w: the host %s: %w", ErrNoImage, h.Name, err)
	}
	return m, nil
}

func (s *Images) make(loaders *Loaders, keys *Keys, h ipxe.Host) (*iso.Image, error) {
	if keys != nil {
		h.Query = keys.Query(h.Name)
	}
	m, _, err := loaders.Image(h, s.Partial)
	return m, err
}

// Loaders returns the loader files that images are made with.
func (s *Images) Loaders() (*Loaders, error) {
	now := s.loaders.Get()
	if !now.Good {
		return nil, now.Err
	}
	return now.Value, nil
}

// Path returns the host of a name, and the path of its image in a URL.
func (s *Images) Path(name string) (string, ipxe.Host, error) {
	h, err := s.List.Find(name)
	if err != nil {
		return "", h, err
	}
	keys, err := s.Keyring.Keys()
	if err != nil {
		return "", h, err
	}
	file := url.PathEscape(FileName(h.Name))
	if keys == nil {
		return "/iso/" + file, h, nil
	}
	return "/iso/" + keys.Capability(h.Name) + "/" + file, h, nil
}

// Problems says what is wrong with the list as a whole, the keys and the
// loaders. Single rows are not among them.
func (s *Images) Problems() (all []string) {
	if st := s.List.State(); st.Err != nil {
		text := st.Err.Error()
		if st.Hosts > 0 {
			text += fmt.Sprintf(" (the %d hosts that were read before stay in force)", st.Hosts)
		}
		all = append(all, text)
	}
	if err := s.Keyring.Err(); err != nil {
		all = append(all, err.Error())
	}
	if _, err := s.Loaders(); err != nil {
		all = append(all, fmt.Sprintf("no image of a host can be made: %v", err))
	} else if err := s.loaders.Last().Err; err != nil {
		all = append(all,
			fmt.Sprintf("the images of hosts are made with loaders that are not there any more: %v",
				err))
	}
	return all
}

// Failures makes the image of each host, and says which cannot be made and why.
func (s *Images) Failures() (all []error) {
	hosts, err := s.List.Hosts()
	loaders, lerr := s.Loaders()
	keys, kerr := s.Keyring.Keys()
	if err != nil || lerr != nil || kerr != nil {
		return nil // Problems says so
	}
	for _, h := range hosts {
		if _, err := s.make(loaders, keys, h); err != nil {
			all = append(all, fmt.Errorf("the host %s has no image: %w", h.Name, err))
		}
	}
	return all
}
