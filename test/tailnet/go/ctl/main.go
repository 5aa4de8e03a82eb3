// Program ctl is the closed end of a tailnet for tests: control server, DERP, STUN and an issuer of
// certificates in one process, all of it settable while it runs. Nothing in it is safe to use for
// anything else.
//
//	ctl -listen 10.77.0.1:8080 -settings /run/ctl.sock -domain tail-test.ts.net -ca /run/ca.pem
//	ctl relay /run/relay.sock
//	ctl pair DIRECTORY NAME
//
// The first form serves until it is killed; its settings are those of settings.go. The second lets a
// process of another network namespace connect out of this one: see relay.go. The third makes a
// certificate: see pair.go.
package main

import (
	"context"
	"flag"
	"log"
	"net/http"
	"net/netip"
	"os"

	"tailscale.com/derp/derpserver"
	"tailscale.com/net/stunserver"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) == 3 && os.Args[1] == "relay" {
		log.Fatal(relay(os.Args[2]))
	}
	if len(os.Args) == 4 && os.Args[1] == "pair" {
		if err := writePair(os.Args[2], os.Args[3]); err != nil {
			log.Fatal(err)
		}
		return
	}
	listen := flag.String("listen", "10.77.0.1:8080", "address of control, DERP and ACME (TCP) and of STUN (UDP)")
	settings := flag.String("settings", "", "unix socket on which everything is set")
	domain := flag.String("domain", "tail-test.ts.net", "domain of the tailnet and of its certificates")
	ca := flag.String("ca", "", "file that the certificate of the issuer is written to")
	flag.Parse()
	log.Fatal(serve(*listen, *settings, *domain, *ca))
}

func serve(listen, settings, domain, ca string) error {
	address, err := netip.ParseAddrPort(listen)
	if err != nil {
		return err
	}
	issuer, err := newIssuer("http://" + listen)
	if err != nil {
		return err
	}
	if err := os.WriteFile(ca, issuer.certificate(), 0o644); err != nil {
		return err
	}
	tailnet := newTailnet(address, domain)

	public := http.NewServeMux()
	public.Handle("/derp", derpserver.Handler(derpserver.New(key.NewNode(), logger.Discard)))
	public.Handle("/acme/", issuer)
	public.Handle("/", &tailnet.control)

	ended := make(chan error)
	go func() { ended <- stunserver.New(context.Background()).ListenAndServe(listen) }()
	go func() { ended <- http.ListenAndServe(listen, public) }()
	go func() { ended <- serveSettings(settings, tailnet, issuer) }()
	return <-ended
}
