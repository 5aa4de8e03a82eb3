package main

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"tailscale.com/net/tsaddr"
	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/logger"
)

// node is what was set for a host name, before or after it joined.
type node struct {
	User      string // the login of its owner; without meaning when it has tags
	Tags      []string
	IP        string // its IPv4 address; its IPv6 address follows from that
	Removed   bool
	Expired   bool
	KeyExpiry time.Time
}

// tailnet is the state of the tailnet, and the control server that tells the nodes of it.
type tailnet struct {
	control testcontrol.Server
	domain  string

	mu      sync.Mutex
	nodes   map[string]node // by host name
	logins  []string        // the ID of a user is firstUser plus its index
	grants  []grant
	inFull  bool // whether a removal is told by a whole map without the node
	edition edition
	changed chan struct{} // closed and replaced at every change
}

// edition counts the changes of a tailnet.
type edition struct{ nodes, grants int }

const (
	firstUser = tailcfg.UserID(1000)
	// taggedDevices is the user of all tagged nodes, as Tailscale and headscale have it.
	taggedDevices = tailcfg.UserID(2147455555)
)

func newTailnet(address netip.AddrPort, domain string) *tailnet {
	t := &tailnet{domain: domain, nodes: map[string]node{}, changed: make(chan struct{})}
	host, port := address.Addr().String(), int(address.Port())
	relay := &tailcfg.DERPNode{
		Name: "1a", RegionID: 1, HostName: host, IPv4: host, IPv6: "none", DERPPort: port, STUNPort: port,
	}
	t.control.Logf = logger.Discard
	t.control.ExplicitBaseURL = "http://" + address.String()
	t.control.AllOnline = true
	t.control.MagicDNSDomain = domain
	t.control.DNSConfig = &tailcfg.DNSConfig{Proxied: true, Domains: []string{domain}}
	t.control.DERPMap = &tailcfg.DERPMap{Regions: map[int]*tailcfg.DERPRegion{
		1: {RegionID: 1, RegionCode: "test", Nodes: []*tailcfg.DERPNode{relay}},
	}}
	t.control.AltMapStream = t.poll
	return t
}

// setNode sets a node; every other node is told of all nodes, or of those alone that have gone.
func (t *tailnet) setNode(host string, n node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.nodes[host] = n
	t.edition.nodes++
	t.wake()
}

// setGrants sets the policy. Nodes are sent a packet filter and nothing else, as Tailscale does it.
func (t *tailnet) setGrants(grants []grant) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.grants = grants
	t.edition.grants++
	t.wake()
}

// setInFull sets how removals are told. Tailscale does it by name, and by a whole map to a node that
// was out of touch.
func (t *tailnet) setInFull(inFull bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inFull = inFull
}

func (t *tailnet) tellsInFull() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.inFull
}

// joined returns the nodes that have joined, as their peers are told of them.
func (t *tailnet) joined() []*tailcfg.Node {
	all := t.control.AllNodes()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range all {
		t.dress(n)
	}
	return all
}

// wake lets every poll look again. t.mu is held.
func (t *tailnet) wake() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// dress gives n what was set for its host name, and returns that. t.mu is held.
func (t *tailnet) dress(n *tailcfg.Node) node {
	host := n.Hostinfo.Hostname()
	set := t.nodes[host]
	n.StableID = tailcfg.StableNodeID("n" + host + "CNTRL")
	n.Tags, n.KeyExpiry = set.Tags, set.KeyExpiry
	n.User = taggedDevices
	if len(set.Tags) == 0 {
		n.User = t.userID(set.User)
	}
	if ipv4, err := netip.ParseAddr(set.IP); err == nil {
		n.Addresses = []netip.Prefix{
			netip.PrefixFrom(ipv4, 32),
			netip.PrefixFrom(tsaddr.Tailscale4To6(ipv4), 128),
		}
		n.AllowedIPs = n.Addresses
	}
	if set.Expired || set.Removed {
		n.KeyExpiry = time.Now().Add(-time.Minute)
	}
	return set
}

// userID returns the ID of the user who logs in as login. t.mu is held.
func (t *tailnet) userID(login string) tailcfg.UserID {
	at := slices.Index(t.logins, login)
	if at < 0 {
		at = len(t.logins)
		t.logins = append(t.logins, login)
	}
	return firstUser + tailcfg.UserID(at)
}

// profiles returns every user. t.mu is held.
func (t *tailnet) profiles() []tailcfg.UserProfile {
	all := []tailcfg.UserProfile{
		{ID: taggedDevices, LoginName: "tagged-devices", DisplayName: "Tagged Devices"},
	}
	for i, login := range t.logins {
		id := firstUser + tailcfg.UserID(i)
		all = append(all, tailcfg.UserProfile{ID: id, LoginName: login, DisplayName: login})
	}
	return all
}
