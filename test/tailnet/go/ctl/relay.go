package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"
)

// relay connects out of this network namespace for others. A client of the unix socket sends a line
// with an address, "HOST:PORT" or "HOST:PORT from ADDRESS:PORT"; the answer is a line, "ok" with the
// local address or what went wrong, and after "ok" every byte goes through.
func relay(socket string) error {
	_ = os.Remove(socket)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	for {
		client, err := listener.Accept()
		if err != nil {
			return err
		}
		go connectFor(client.(*net.UnixConn))
	}
}

func connectFor(client *net.UnixConn) {
	defer client.Close()
	reader := bufio.NewReader(client)
	line, err := reader.ReadString('\n')
	if err != nil {
		return
	}
	target, from, _ := strings.Cut(strings.TrimSpace(line), " from ")
	dialer := net.Dialer{Timeout: 5 * time.Second}
	if address, err := netip.ParseAddrPort(from); err == nil {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(address)
	}
	conn, err := dialer.Dial("tcp", target)
	if err != nil {
		fmt.Fprintln(client, err)
		return
	}
	server := conn.(*net.TCPConn)
	defer server.Close()
	fmt.Fprintln(client, "ok", server.LocalAddr())
	ended := make(chan struct{}, 2)
	go func() { pass(server, reader); ended <- struct{}{} }()
	go func() { pass(client, server); ended <- struct{}{} }()
	<-ended
	<-ended
}

// pass hands on the end of a stream too, and ends both ways when one fails.
func pass(to interface {
	io.Writer
	io.Closer
	CloseWrite() error
}, from io.Reader) {
	if _, err := io.Copy(to, from); err != nil || to.CloseWrite() != nil {
		_ = to.Close()
	}
}
