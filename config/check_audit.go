package config

func checkAudit(p *problems, c *Config) {
	a := c.Audit
	switch {
	case a == Audit{}:
	case a.File != "" && a.Stdout:
		p.add(at("audit", "stdout"), "stands beside file: keep one of them")
	case !a.Enabled() && !p.has(at("audit", "file")):
		p.add(at("audit"), "needs a file, or stdout: true")
	}
	if a.Stdout && a.Keep > 0 {
		p.add(at("audit", "keep"), "goes with file: stdout has no files to keep")
	}
}
