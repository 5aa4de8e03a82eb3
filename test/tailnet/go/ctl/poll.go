package main

import (
	"context"
	"slices"
	"time"

	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
)

// keepAlive is how often a node hears from control when nothing changes.
const keepAlive = 50 * time.Second

// poll answers one map poll. The handshake and the registration were testcontrol's; its own polls
// know neither policies nor owners.
func (t *tailnet) poll(ctx context.Context, w testcontrol.MapStreamWriter, req *tailcfg.MapRequest) {
	if !req.Stream && !req.ReadOnly {
		t.updateEndpoints(req)
	}
	sent, peers := edition{-1, -1}, []tailcfg.NodeID(nil)
	for {
		response, now, changed := t.mapResponse(req)
		if response == nil {
			return
		}
		told := peers
		peers = ids(response.Peers)
		gone := slices.DeleteFunc(told, func(id tailcfg.NodeID) bool { return slices.Contains(peers, id) })
		switch {
		case sent.nodes == now.nodes:
			response = &tailcfg.MapResponse{PacketFilters: response.PacketFilters}
		case len(gone) > 0 && !t.tellsInFull():
			response = &tailcfg.MapResponse{PeersRemoved: gone, PacketFilters: response.PacketFilters}
		}
		sent = now
		if w.SendMapMessage(response) != nil || !req.Stream || !keepPolling(ctx, w, changed) {
			return
		}
	}
}

func ids(nodes []*tailcfg.Node) []tailcfg.NodeID {
	found := make([]tailcfg.NodeID, 0, len(nodes))
	for _, n := range nodes {
		found = append(found, n.ID)
	}
	return found
}

// keepPolling waits for a change; false means that the node has gone.
func keepPolling(ctx context.Context, w testcontrol.MapStreamWriter, changed <-chan struct{}) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-changed:
			return true
		case <-time.After(keepAlive):
			if w.SendMapMessage(&tailcfg.MapResponse{KeepAlive: true}) != nil {
				return false
			}
		}
	}
}

// updateEndpoints takes over what a node tells of itself, as testcontrol would have done.
func (t *tailnet) updateEndpoints(req *tailcfg.MapRequest) {
	n := t.control.Node(req.NodeKey)
	if n == nil {
		return
	}
	n.Endpoints, n.DiscoKey, n.Cap = req.Endpoints, req.DiscoKey, req.Version
	if info := req.Hostinfo; info != nil {
		n.Hostinfo = info.View()
		if info.NetInfo != nil && info.NetInfo.PreferredDERP != 0 {
			n.HomeDERP = info.NetInfo.PreferredDERP
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.control.UpdateNode(n)
	t.edition.nodes++
	t.wake()
}

// mapResponse is testcontrol's answer with what was set, its edition, and a channel that is closed
// when there is a later one.
func (t *tailnet) mapResponse(req *tailcfg.MapRequest) (*tailcfg.MapResponse, edition, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	// Asked with t.mu held: a change in between would be in no edition.
	response, err := t.control.MapResponse(req)
	if err != nil || response == nil {
		return nil, edition{}, nil
	}
	all := []*tailcfg.Node{response.Node}
	self := t.dress(response.Node)
	for _, peer := range response.Peers {
		if set := t.dress(peer); !set.Removed && !self.Removed {
			all = append(all, peer)
		}
	}
	now := time.Now()
	response.Peers = all[1:]
	response.Domain = t.domain
	response.ControlTime = &now
	response.UserProfiles = t.profiles()
	// A chunk with a name: an empty PacketFilter would be left out of the JSON.
	response.PacketFilter = nil
	response.PacketFilters = map[string][]tailcfg.FilterRule{"base": t.filter(all)}
	return response, t.edition, t.changed
}
