// Prints the variables of a file as Docker Compose reads it: a JSON object of base64.
package main

import (
	"encoding/base64"
	"encoding/json"
	"log"
	"os"

	"github.com/compose-spec/compose-go/v2/dotenv"
)

func main() {
	file, err := os.Open(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	variables, err := dotenv.Parse(file)
	if err != nil {
		log.Fatal(err)
	}
	encoded := map[string]string{}
	for name, value := range variables {
		encoded[name] = base64.StdEncoding.EncodeToString([]byte(value))
	}
	if err := json.NewEncoder(os.Stdout).Encode(encoded); err != nil {
		log.Fatal(err)
	}
}
