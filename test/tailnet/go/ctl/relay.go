package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// relay connects out of this network namespace for others. A client of the unix socket sends a line
// with an address, "HOST:PORT" or "HOST:PORT from PORT"; the answer is a line, "ok" with the local
// address or what went wrong, and after "ok" every byte goes through. The source port is asked for as
// a range of one, which the kernel gives even while another connection of this host has it.
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
	if port, err := strconv.ParseUint(from, 10, 16); err == nil {
		dialer.Control = func(_, _ string, conn syscall.RawConn) error {
			return takePort(conn, int(port))
		}
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

// ipLocalPortRange is IP_LOCAL_PORT_RANGE of Linux: the ports to choose from, the last in the upper half.
const ipLocalPortRange = 51

func takePort(conn syscall.RawConn, port int) error {
	var failed error
	err := conn.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, ipLocalPortRange, port<<16|port)
	})
	return errors.Join(err, failed)
}
