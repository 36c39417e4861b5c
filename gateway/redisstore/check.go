package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// findings are what a master's settings mean for records.
type findings struct {
	warnings []string
	fsync    bool // it has WAITAOF
}

// check reads INFO, and CONFIG only where nothing else tells: managed services forbid it.
func (s *Store) check(ctx context.Context, master *redis.Client) (findings, error) {
	if err := master.Ping(ctx).Err(); err != nil {
		return findings{}, err
	}
	text, err := master.Info(ctx).Result()
	if redis.IsPermissionError(err) {
		return findings{warnings: []string{"the user may not call INFO, so the server's version and settings are unknown, " +
			"and a failover would not be noticed: allow it with ACL SETUSER … +info"}}, nil
	}
	if err != nil {
		return findings{}, err
	}
	info := parseInfo(text)
	if tooOld(info["redis_version"]) {
		return findings{}, &setupError{text: "Redis " + info["redis_version"] + " is too old: 6.2 or later is needed"}
	}
	if info["cluster_enabled"] == "1" && !s.cluster {
		return findings{}, &setupError{text: "the server is a node of a Redis Cluster: set Cluster"}
	}
	if info["role"] == "slave" {
		return findings{}, &setupError{text: "the server is a replica and cannot be written: give the master's address, or use Sentinel"}
	}
	if s.cluster {
		s.lineage.saw(master.Options().Addr, info)
	}
	var f findings
	if policy := info["maxmemory_policy"]; policy != "noeviction" {
		f.warn("maxmemory-policy is %q, so Redis may throw records away when its memory is full: set it to noeviction", policy)
	}
	if s.durability == Dev {
		return f, nil
	}
	if info["aof_enabled"] == "0" {
		f.warn("appendonly is off, so a restart of Redis loses records: set appendonly yes")
	}
	if s.durability == Strict {
		if err := master.Wait(ctx, 0, time.Millisecond).Err(); err != nil {
			return findings{}, err
		}
		f.replication(info, s.barrier.replicas)
		f.fsync = master.Do(ctx, "WAITAOF", 0, 0, 1).Err() == nil
	}
	if !f.fsync {
		f.fsyncing(s.durability, master.ConfigGet(ctx, "*appendfsync*"))
	}
	return f, nil
}

func (f *findings) warn(format string, args ...any) {
	f.warnings = append(f.warnings, fmt.Sprintf(format, args...))
}

// replication warns if the replicas that must confirm a write are not there now.
func (f *findings) replication(info map[string]string, replicas int) {
	if replicas == 0 {
		return
	}
	online := 0
	for name, value := range info {
		if strings.HasPrefix(name, "slave") && strings.Contains(value, "state=online") {
			online++
		}
	}
	if online < replicas {
		f.warn("%d of the %d replicas that must confirm each write are connected: start them, or lower Replicas", online, replicas)
	}
	// The line is there only if the setting is.
	if _, ok := info["min_slaves_good_slaves"]; !ok {
		f.warn("min-replicas-to-write is 0, so a master that others have replaced goes on taking writes: set it to 1 or more on every server")
	}
}

// fsyncing warns if a write is answered before it is on disk, where nothing can be
// waited for. Without strict it only should get there by itself.
func (f *findings) fsyncing(durability Durability, config *redis.MapStringStringCmd) {
	set, err := config.Result()
	switch {
	case durability == Strict && err != nil:
		f.warn("appendfsync cannot be verified: allow CONFIG GET (ACL SETUSER … +config|get), or use Redis 7.2 or later")
	case err != nil:
	case durability == Strict && set["appendfsync"] != "always":
		f.warn("appendfsync is %q, so a power cut loses what was acknowledged: set it to always, or use Redis 7.2 or later", set["appendfsync"])
	case durability == Strict && set["no-appendfsync-on-rewrite"] != "no":
		f.warn("no-appendfsync-on-rewrite is %q, so nothing is synced while the file is rewritten: set it to no", set["no-appendfsync-on-rewrite"])
	case set["appendfsync"] == "no":
		f.warn(`appendfsync is "no", so a power cut loses what the system has not written by then: set it to everysec`)
	}
}

func parseInfo(text string) map[string]string {
	info := make(map[string]string)
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info
}

// tooOld reports whether the version is known to be before 6.2, the first with
// ZRANGE BYLEX. A version in an unknown form gets the benefit of the doubt.
func tooOld(version string) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return false
	}
	major, errMajor := strconv.Atoi(parts[0])
	minor, errMinor := strconv.Atoi(parts[1])
	if errMajor != nil || errMinor != nil {
		return false
	}
	return major < 6 || (major == 6 && minor < 2)
}
