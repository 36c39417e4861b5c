package main

import (
	"github.com/polyvault/polyvault/config"
	"github.com/polyvault/polyvault/gateway"
)

func encryptionKeys(c *config.Config) gateway.EncryptionKeys {
	var out gateway.EncryptionKeys
	for _, k := range c.Keys.Encryption {
		out = append(out, gateway.EncryptionKey{ID: k.ID, Secret: k.Bytes})
	}
	return out
}

// sealerOf is what seals and opens the values of the configured store.
func sealerOf(c *config.Config) (*gateway.Sealer, error) {
	return gateway.NewSealer(referenceKeys(c), encryptionKeys(c))
}
