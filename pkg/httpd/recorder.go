package httpd

import (
	"io"
	"net/http"
)

// recorder keeps the status and the bytes of an answer. ReadFrom passes the
// file on, and with it sendfile.
type recorder struct {
	http.ResponseWriter
	status int
	sent   int64
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets the answer be flushed.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) Write(p []byte) (int, error) {
	r.begin()
	n, err := r.ResponseWriter.Write(p)
	r.sent += int64(n)
	return n, err
}

func (r *recorder) ReadFrom(src io.Reader) (int64, error) {
	r.begin()
	n, err := io.Copy(r.ResponseWriter, src)
	r.sent += n
	return n, err
}

// begin keeps the status of an answer that names none.
func (r *recorder) begin() {
	if r.status == 0 {
		r.status = http.StatusOK
	}
}
