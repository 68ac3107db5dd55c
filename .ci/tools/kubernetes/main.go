// Command kubernetes reads files of Kubernetes objects as strictly as the API
// server does: each must be of a known kind, and each field must be known
// there, have the right type, and stand only once. It prints them as JSON, or
// what is wrong.
//
//	kubernetes FILE…
//
// It is a program of its own, and has a module of its own, because the types of
// Kubernetes are large and the project needs them only to be tested.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
)

func main() {
	objects := []runtime.Object{}
	for _, name := range os.Args[1:] {
		more, err := read(name)
		if err != nil {
			fmt.Printf("%s: %v\n", name, err)
			os.Exit(1)
		}
		objects = append(objects, more...)
	}
	if err := json.NewEncoder(os.Stdout).Encode(objects); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// read returns the objects of a file, or everything that is wrong with them.
func read(name string) (objects []runtime.Object, wrong error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	known := runtime.NewScheme()
	if err := errors.Join(apps.AddToScheme(known), core.AddToScheme(known)); err != nil {
		return nil, err
	}
	decoder := serializer.NewCodecFactory(known, serializer.EnableStrict).UniversalDeserializer()
	documents := yaml.NewYAMLReader(bufio.NewReader(f))
	for i := 1; ; i++ {
		text, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects, wrong
		}
		var object runtime.Object
		if err == nil {
			object, _, err = decoder.Decode(text, nil, nil)
		}
		if err != nil {
			wrong = errors.Join(wrong, fmt.Errorf("object %d: %w", i, err))
		}
		objects = append(objects, object)
	}
}
