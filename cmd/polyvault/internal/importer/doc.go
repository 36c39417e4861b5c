// Package importer adopts a file of provider references through a running gateway.
// It reads and writes line by line, has a few requests under way at a time, and
// writes one result a line, in the order of the lines: what it has written is how
// far it came, so that it can be killed at any point and go on from there.
package importer
