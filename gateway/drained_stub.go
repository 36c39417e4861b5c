package gateway

// isDrained reports whether an operator has taken the provider out of the routes. It
// stands here until there is a way to do so.
func (*Service) isDrained(string) bool { return false }
