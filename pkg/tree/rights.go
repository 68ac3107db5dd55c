package tree

import (
	"fmt"
	"os/user"
	"strconv"
)

// Rights are who may do what with a directory.
type Rights struct {
	Owner, Group uint32 // their numbers
	Mode         uint32 // the lowest twelve bits
}

// String is owner, group and mode as people write them: root:pxesrv 2775.
func (r Rights) String() string { return fmt.Sprintf("%s %04o", r.Who(), r.Mode) }

// Who is owner and group as chown takes them. A number stands for itself where
// nobody has it.
func (r Rights) Who() string {
	owner, group := strconv.Itoa(int(r.Owner)), strconv.Itoa(int(r.Group))
	if u, err := user.LookupId(owner); err == nil {
		owner = u.Username
	}
	if g, err := user.LookupGroupId(group); err == nil {
		group = g.Name
	}
	return owner + ":" + group
}
