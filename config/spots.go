package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// spot is a name in a folder.
type spot struct{ folder, name string }

func (s spot) path() string { return filepath.Join(s.folder, s.name) }

// maxLinks bounds a chain of symbolic links, as the kernel does.
const maxLinks = 40

// spotsOf are the spots that decide what a file's name leads to: every symbolic link
// on the way, and the file itself, or else the first part of the way that is missing.
// Folders in them exist, and lead through no link.
func spotsOf(file string) []spot {
	abs, err := filepath.Abs(file)
	if err != nil {
		return nil // without a working folder there is nothing to watch
	}
	var out []spot
	root := filepath.VolumeName(abs) + string(filepath.Separator)
	at, way, links := root, parts(abs[len(root):]), 0
	for len(way) > 0 {
		name := way[0]
		way = way[1:]
		if name == ".." {
			at = filepath.Dir(at)
			continue
		}
		here := spot{at, name}
		info, err := os.Lstat(here.path())
		switch {
		case err != nil:
			return append(out, here)
		case info.Mode()&fs.ModeSymlink != 0:
			out = append(out, here)
			target, err := os.Readlink(here.path())
			if links++; err != nil || links > maxLinks {
				return out
			}
			if filepath.IsAbs(target) {
				at = root
			}
			way = append(parts(target), way...)
		case len(way) == 0:
			return append(out, here)
		default:
			at = here.path()
		}
	}
	return out
}

// parts are the names that make up a path; "." and empty ones are left out.
func parts(path string) []string {
	var out []string
	for name := range strings.SplitSeq(filepath.ToSlash(path), "/") {
		if name != "" && name != "." {
			out = append(out, name)
		}
	}
	return out
}
