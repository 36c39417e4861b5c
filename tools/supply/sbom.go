package main

import (
	"debug/buildinfo"
	"encoding/csv"
	"io"
	"os"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// writeSBOM reads the modules from the binary itself, which knows what it was built
// from. Two binaries of one commit give the same text: no time and no serial number.
func writeSBOM(binary string, out io.Writer) error {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return err
	}
	licences, err := licencesByModule()
	if err != nil {
		return err
	}
	main := component(info.Main.Path, info.Main.Version, "", "Apache-2.0")
	main.Type = cdx.ComponentTypeApplication
	var components []cdx.Component
	var refs []string
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		c := component(m.Path, m.Version, m.Sum, licences[m.Path])
		components, refs = append(components, c), append(refs, c.BOMRef)
	}
	std := component("std", info.GoVersion, "", "BSD-3-Clause")
	const page = "@scalar/api-reference"
	asset := cdx.Component{Type: cdx.ComponentTypeLibrary, BOMRef: page, Name: page, Licenses: licence(licences[page])}
	components, refs = append(components, std, asset), append(refs, std.BOMRef, asset.BOMRef)
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Component: &main}
	bom.Components = &components
	bom.Dependencies = &[]cdx.Dependency{{Ref: main.BOMRef, Dependencies: &refs}}
	return cdx.NewBOMEncoder(out, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).Encode(bom)
}

// component is a Go module. Its checksum is that of go.sum, which is no plain hash of a file.
func component(path, version, sum, name string) cdx.Component {
	ref := "pkg:golang/" + path + "@" + version
	c := cdx.Component{Type: cdx.ComponentTypeLibrary, BOMRef: ref, Name: path, Version: version, PackageURL: ref, Licenses: licence(name)}
	if sum != "" {
		c.Properties = &[]cdx.Property{{Name: "go.sum", Value: sum}}
	}
	return c
}

func licence(name string) *cdx.Licenses {
	switch name {
	case "":
		return nil
	case "MIT AND Apache-2.0", bothLicences:
		return &cdx.Licenses{{Expression: name}}
	default:
		return &cdx.Licenses{{License: &cdx.License{ID: name}}}
	}
}

func licencesByModule() (map[string]string, error) {
	f, err := os.Open(table)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	rows, err := csv.NewReader(f).ReadAll()
	out := map[string]string{}
	for _, r := range rows {
		out[r[0]] = r[1]
	}
	return out, err
}
