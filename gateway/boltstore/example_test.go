package boltstore_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/boltstore"
)

func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()

	store, err := boltstore.Open(boltstore.Config{Path: filepath.Join(dir, "polyvault.db")})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = store.Close() }()

	ctx := context.Background()
	for _, nonce := range []string{"first", "first", "second"} {
		out, err := store.Write(ctx, gateway.Write{Key: "ins_1", Value: []byte("by " + nonce), Nonce: nonce})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s: applied %t, version %d, %s\n", nonce, out.Applied, out.Current.Version, out.Current.Value)
	}
	// Output:
	// first: applied true, version 1, by first
	// first: applied true, version 1, by first
	// second: applied false, version 1, by first
}
