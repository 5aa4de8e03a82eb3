// Command cluster is what a cluster of Kubernetes keeps its resources with, in one program: etcd, the API server, and of
// the controller manager the controllers that delete what nobody owns, and what is in a namespace that is deleted.
//
//	cluster etcd FLAGS...
//	cluster apiserver FLAGS...
//	cluster controllers URL TOKEN
//
// The flags are those of etcd and of kube-apiserver. There are no nodes and no pods.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"go.etcd.io/etcd/server/v3/etcdmain"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/component-base/cli"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/namespace"
)

func main() {
	if len(os.Args) < 2 {
		log.Fatal("usage: cluster etcd|apiserver|controllers ...")
	}
	part, args := os.Args[1], os.Args[2:]
	os.Args = append([]string{"cluster " + part}, args...)
	switch part {
	case "etcd":
		etcdmain.Main(os.Args)
	case "apiserver":
		os.Exit(cli.Run(app.NewAPIServerCommand()))
	case "controllers":
		if len(args) != 2 {
			log.Fatal("usage: cluster controllers URL TOKEN")
		}
		if err := control(context.Background(), args[0], args[1]); err != nil {
			log.Fatal(err)
		}
	default:
		log.Fatalf("there is no %s", part)
	}
}

// control runs the controllers until the process ends.
func control(ctx context.Context, url, token string) error {
	config := &rest.Config{
		Host:            url,
		BearerToken:     token,
		TLSClientConfig: rest.TLSClientConfig{Insecure: true},
		QPS:             1000,
		Burst:           1000,
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	data, err := metadata.NewForConfig(config)
	if err != nil {
		return err
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery()))
	shared := informers.NewSharedInformerFactory(client, 0)
	factory := informerfactory.NewInformerFactory(shared, metadatainformer.NewSharedInformerFactory(data, 0))
	started := make(chan struct{})
	collector, err := garbagecollector.NewGarbageCollector(ctx, client, data, meta.ResettableRESTMapper(mapper),
		garbagecollector.DefaultIgnoredResources(), factory, started)
	if err != nil {
		return err
	}
	namespaces := namespace.NewNamespaceController(ctx, client, data, client.Discovery().ServerPreferredNamespacedResources,
		shared.Core().V1().Namespaces(), time.Minute, corev1.FinalizerKubernetes)
	factory.Start(ctx.Done())
	close(started)
	go collector.Sync(ctx, client.Discovery(), time.Second)
	go namespaces.Run(ctx, 2)
	fmt.Println("ready")
	collector.Run(ctx, 4, 30*time.Second)
	return nil
}
