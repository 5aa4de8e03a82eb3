package main

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"tailscale.com/tailcfg"
)

// grant is one grant of the tailnet's policy; see settings.go for its selectors.
type grant struct {
	Src, Dst []string
	IP       []string // "tcp:PORT", or "*" for everything
	App      tailcfg.PeerCapMap
}

// filter compiles the grants into the packet filter of all[0]. t.mu is held.
func (t *tailnet) filter(all []*tailcfg.Node) []tailcfg.FilterRule {
	var rules []tailcfg.FilterRule
	for _, g := range t.grants {
		destinations := t.prefixes(all[:1], g.Dst)
		sources := addresses(t.prefixes(all, g.Src))
		if len(destinations) == 0 || len(sources) == 0 {
			continue
		}
		for _, ports := range g.IP {
			rules = append(rules, portRule(ports, sources, addresses(destinations)))
		}
		if g.App != nil {
			rules = append(rules, tailcfg.FilterRule{
				SrcIPs:   sources,
				CapGrant: []tailcfg.CapGrant{{Dsts: destinations, CapMap: g.App}},
			})
		}
	}
	return rules
}

func portRule(ports string, sources, destinations []string) tailcfg.FilterRule {
	rule, allowed := tailcfg.FilterRule{SrcIPs: sources}, tailcfg.PortRangeAny
	if text, isTCP := strings.CutPrefix(ports, "tcp:"); isTCP {
		port, _ := strconv.ParseUint(text, 10, 16)
		rule.IPProto = []int{6}
		allowed = tailcfg.PortRange{First: uint16(port), Last: uint16(port)}
	}
	for _, ip := range destinations {
		rule.DstPorts = append(rule.DstPorts, tailcfg.NetPortRange{IP: ip, Ports: allowed})
	}
	return rule
}

// prefixes returns the addresses of those nodes that one of the selectors is for. t.mu is held.
func (t *tailnet) prefixes(nodes []*tailcfg.Node, selectors []string) []netip.Prefix {
	var found []netip.Prefix
	for _, n := range nodes {
		host := n.Hostinfo.Hostname()
		if slices.ContainsFunc(selectors, func(selector string) bool {
			return selector == "*" || selector == "host:"+host || slices.Contains(n.Tags, selector) ||
				len(n.Tags) == 0 && selector == t.nodes[host].User
		}) {
			found = append(found, n.Addresses...)
		}
	}
	return found
}

func addresses(prefixes []netip.Prefix) []string {
	found := make([]string, 0, len(prefixes))
	for _, p := range prefixes {
		found = append(found, p.Addr().String())
	}
	return found
}
