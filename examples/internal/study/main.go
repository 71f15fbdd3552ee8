// Command study makes the data and the result of the comparison of losses on small lesions
// that docs/study.md describes. The trainings between the two are runs of examples/brats.
//
//	go run ./examples/internal/study crop -data DIR -out DIR -size 80,80
//
// crop writes the central part of each image and label of a folder in the layout
// TrainImage, TrainLabel, ValidImage, ValidLabel, and prints what the crop cut off the lesions.
//
//	go run ./examples/internal/study report -out DIR -runs RUN,RUN
//
// report reads one run of brats for each learning rate, and writes README.md with the tables and
// the verdict, dice.png, and every number as CSV. It can be called while the runs go on, and with
// -complete fails unless they are finished.
//
//	go run ./examples/internal/study labels -data DIR -out FILE
//
// labels explains in a page what γ and the weights of A-FL are on the labels of the data.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := runCommand(os.Args[1:], os.Stdout); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		fmt.Fprintln(os.Stderr, "study:", err)
		os.Exit(1)
	}
}

func runCommand(args []string, out io.Writer) error {
	command := ""
	if len(args) > 0 {
		command = args[0]
	}
	switch command {
	case "crop":
		return crop(args[1:], out)
	case "report":
		return reportRuns(args[1:], out)
	case "labels":
		return labels(args[1:], out)
	}
	return fmt.Errorf("the command is %q, want crop, report or labels", command)
}
