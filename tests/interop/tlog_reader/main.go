// Reads an exported log with golang.org/x/mod/sumdb (note and tlog), which knows nothing of ours.
//
//	tlog_reader FOLDER VKEY OLD_SIZE...
//
// Opens the checkpoint under the pinned key, reads every entry bundle, proves the inclusion of every
// entry from the tiles, and the consistency of every older size with the signed tree. Exits non-zero
// at the first thing that does not hold.
package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8 // C2SP tlog-tiles: 256 hashes wide

type folder string

func (f folder) Height() int { return height }

func (f folder) SaveTiles(tiles []tlog.Tile, data [][]byte) {}

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	found := make([][]byte, len(tiles))
	for i, tile := range tiles {
		data, err := os.ReadFile(filepath.Join(string(f), path(strconv.Itoa(tile.L), tile.N, tile.W)))
		if err != nil {
			return nil, err
		}
		found[i] = data
	}
	return found, nil
}

// path is that of the C2SP text: tile/<L>/<N>[.p/<W>], N in groups of three digits.
func path(level string, n int64, width int) string {
	name := fmt.Sprintf("%03d", n%1000)
	for n /= 1000; n > 0; n /= 1000 {
		name = fmt.Sprintf("x%03d/%s", n%1000, name)
	}
	if width < 1<<height {
		name += fmt.Sprintf(".p/%d", width)
	}
	return "tile/" + level + "/" + name
}

func must(err error, what string) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		os.Exit(1)
	}
}

func head(f folder, vkey string) tlog.Tree {
	verifier, err := note.NewVerifier(vkey)
	must(err, "verifier key")
	text, err := os.ReadFile(filepath.Join(string(f), "checkpoint"))
	must(err, "checkpoint")
	opened, err := note.Open(text, note.VerifierList(verifier))
	must(err, "checkpoint signature")
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 3 || lines[0] != verifier.Name() {
		must(fmt.Errorf("%q", opened.Text), "checkpoint body")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err, "checkpoint size")
	root, err := base64.StdEncoding.DecodeString(lines[2])
	must(err, "checkpoint root")
	var tree tlog.Tree
	tree.N = size
	copy(tree.Hash[:], root)
	return tree
}

// entries of one bundle: each a big-endian length of two bytes, then the entry.
func entries(f folder, n int64, width int) [][]byte {
	data, err := os.ReadFile(filepath.Join(string(f), path("entries", n, width)))
	must(err, "entry bundle")
	var found [][]byte
	for len(data) > 0 {
		if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
			must(fmt.Errorf("cut short"), "entry bundle")
		}
		end := 2 + int(binary.BigEndian.Uint16(data))
		found = append(found, data[2:end])
		data = data[end:]
	}
	if len(found) != width {
		must(fmt.Errorf("%d entries for %d", len(found), width), "entry bundle")
	}
	return found
}

func main() {
	f, tree := folder(os.Args[1]), head(folder(os.Args[1]), os.Args[2])
	hashes := tlog.TileHashReader(tree, f)
	index := int64(0)
	for n := int64(0); index < tree.N; n++ {
		width := tree.N - index
		if width > 1<<height {
			width = 1 << height
		}
		for _, entry := range entries(f, n, int(width)) {
			proof, err := tlog.ProveRecord(tree.N, index, hashes)
			must(err, fmt.Sprintf("proof of entry %d", index))
			err = tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry))
			must(err, fmt.Sprintf("entry %d", index))
			index++
		}
	}
	for _, text := range os.Args[3:] {
		old, err := strconv.ParseInt(text, 10, 64)
		must(err, "older size")
		then, err := tlog.TreeHash(old, hashes)
		must(err, fmt.Sprintf("root at %d", old))
		proof, err := tlog.ProveTree(tree.N, old, hashes)
		must(err, fmt.Sprintf("consistency proof from %d", old))
		must(tlog.CheckTree(proof, tree.N, tree.Hash, old, then), fmt.Sprintf("consistency from %d", old))
		fmt.Printf("%d %x\n", old, then[:])
	}
	fmt.Printf("%d %x\n", tree.N, tree.Hash[:])
}
