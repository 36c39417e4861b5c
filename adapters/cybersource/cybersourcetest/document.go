package cybersourcetest

import "maps"

// merge applies a JSON Merge Patch (RFC 7396) to target and returns the result,
// which shares nothing with target that it changes.
func merge(target, patch object) object {
	out := object{}
	maps.Copy(out, target)
	for k, v := range patch {
		switch v := v.(type) {
		case nil:
			delete(out, k)
		case object:
			below, _ := out[k].(object)
			out[k] = merge(below, v)
		default:
			out[k] = v
		}
	}
	return out
}

// at returns what stands at a path of o; nil if nothing does.
func at(o object, path ...string) any {
	var value any = o
	for _, name := range path {
		below, ok := value.(object)
		if !ok {
			return nil
		}
		value = below[name]
	}
	return value
}

// stringAt returns the string at a path of o; "" if there is none.
func stringAt(o object, path ...string) string {
	s, _ := at(o, path...).(string)
	return s
}

// has reports whether o has a member that is not null.
func has(o object, name string) bool { return o[name] != nil }

func href(path string) object { return object{"href": path} }
