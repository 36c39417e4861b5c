package redisstore

import "github.com/redis/go-redis/v9/logging"

// SilenceClient turns off the plain lines that the Redis client itself writes to
// stderr: several for each call while a server is away, among lines of JSON. It
// loses nothing, since every call returns its error and the caller logs that once.
// It changes the whole process: call it from main, before [Open].
func SilenceClient() { logging.Disable() }
