package main

import "testing"

func TestClassify(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"MIT License\n\nPermission is hereby granted, free of charge, to any\nperson obtaining a copy":     "MIT",
		"                   Apache License\n  Version 2.0":                                                 "Apache-2.0",
		"GNU GENERAL PUBLIC LICENSE\nVersion 3. The GNU Lesser":                                            "GPL",
		"GNU AFFERO GENERAL PUBLIC LICENSE":                                                                "AGPL",
		"Redistributions in binary form must reproduce the above":                                          "BSD-2-Clause",
		"Apache License\n Version 2.0\n----\nNeither the name of Google may be used to endorse or promote": "Apache-2.0 AND BSD-3-Clause",
		"All rights reserved.": "unknown",
	} {
		if got := classify([]byte(text)); got != want {
			t.Errorf("%.30q is %s, not %s", text, got, want)
		}
	}
}
