package config

import (
	"bytes"
	"encoding/json"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// Show renders the effective configuration as YAML: defaults filled in, secrets
// by reference only. It can be loaded again.
func (c *Config) Show() ([]byte, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	// JSON is YAML, and as a tree it keeps the order of the fields.
	var node yaml.Node
	if err := yaml.Unmarshal(text, &node); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	plainStyle(&node)
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(&node); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return out.Bytes(), encoder.Close()
}

// plainStyle drops JSON's brackets and quotes, where YAML reads the same without.
func plainStyle(n *yaml.Node) {
	n.Style = 0
	for _, c := range n.Content {
		plainStyle(c)
	}
}
