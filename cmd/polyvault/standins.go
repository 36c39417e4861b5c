package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"

	"github.com/polyvault/polyvault/adapters/standin"
)

// standIn is a stand-in provider on an address. It can be stopped, which closes
// its listener and every connection, and started again with its state.
type standIn struct {
	name   string
	server *standin.Server
	addr   string
	scheme string
	cancel context.CancelFunc
	done   chan struct{} // closed once it no longer serves; err is set by then
	err    error
}

func newStandIn(name string, s *standin.Server) *standIn { return &standIn{name: name, server: s} }

func (s *standIn) url() string { return s.scheme + "://" + s.addr }

// start serves on addr; port 0 picks one. It serves until stop, or ctx is done.
func (s *standIn) start(ctx context.Context, addr string, conf *tls.Config) error {
	l, err := standin.Listen(ctx, addr)
	if err != nil {
		return fmt.Errorf("the stand-in of %s cannot listen: %w", s.name, explainListen(err))
	}
	ctx, s.cancel = context.WithCancel(ctx)
	s.addr, s.scheme, s.done = l.Addr().String(), "http", make(chan struct{})
	if conf != nil {
		s.scheme = "https"
	}
	done := s.done
	go func() {
		defer close(done)
		s.err = s.server.Serve(ctx, l, conf)
		_ = l.Close() // Serve does not own it if it ends before its first accept
	}()
	return nil
}

// stop ends serving and waits for that.
func (s *standIn) stop() error {
	if s.cancel == nil {
		return nil // it never started
	}
	s.cancel()
	<-s.done
	return s.err
}

func isBase64(s string) bool {
	_, err := base64.StdEncoding.DecodeString(s)
	return err == nil
}

// tlsLife is how long a generated certificate is valid.
const tlsLife = 30 * 24 * time.Hour

// newTLS makes a certificate authority and a certificate of it for localhost and
// 127.0.0.1. The authority's key is thrown away: it signs nothing else.
func newTLS() (caPEM []byte, conf *tls.Config, err error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "polyvault sandbox authority"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(tlsLife),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(tlsLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return nil, nil, err
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		return nil, nil, err
	}
	caPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	return caPEM, &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{{Certificate: [][]byte{leafDER, caDER}, PrivateKey: key}},
	}, nil
}
