// Linearize tells whether what callers saw could have come from tasks that do one thing after another.
//
//	linearize FILE
//
// The file holds a history in JSON Lines, one operation a line, in any order:
//
//		{"key": "t", "op": "increment", "call": 100, "return": 180, "result": 1}
//
//	  - key: which task; they do not depend on each other. Each starts with the number 0 and no findings.
//	  - op: read, write, cas (compare and set) or increment, which are about the number; append, which
//	    adds a finding; or look, which reads the number and how many findings there are.
//	  - value: what a write or a cas stores; expected: what a cas demands to find.
//	  - result: what a read found, what an increment made, whether a cas stored, [number, findings] of
//	    a look. A write has none; an append may have the finding's place, from 1.
//	  - process: who asked; it does not matter here.
//	  - call, return: when it was asked and answered, in whole numbers of one monotonic clock.
//
// Without return the outcome is unknown: it was done at some time after the call, or never. An
// operation that surely did nothing is left out.
//
// The exit code is 0 if there is such an order, 1 if there is none, 2 if the file is no history,
// 3 if five minutes did not suffice to know.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

const patience = 5 * time.Minute

// task is what one holds at a time.
type task struct{ number, findings int64 }

type operation struct {
	Key      string
	Op       string
	Value    *int64
	Expected *int64
	Result   any
	Call     *int64
	Return   *int64
	Process  string
	line     string
}

// check refuses a line that lacks what its operation needs.
func (o *operation) check() error {
	_, isNumber := o.Result.(int64)
	_, isTruth := o.Result.(bool)
	_, isTask := o.Result.(task)
	isKnown := o.Return != nil
	switch {
	case o.Call == nil:
		return errors.New("call is missing")
	case isKnown && *o.Return < *o.Call:
		return errors.New("return is before call")
	case !isKnown && o.Result != nil:
		return errors.New("a result without a return")
	case !slices.Contains([]string{"read", "look", "write", "cas", "increment", "append"}, o.Op):
		return fmt.Errorf("op %q is none of read, look, write, cas, increment, append", o.Op)
	case (o.Op == "write" || o.Op == "cas") != (o.Value != nil):
		return errors.New("value belongs to write and cas, and to them alone")
	case (o.Op == "cas") != (o.Expected != nil):
		return errors.New("expected belongs to cas, and to it alone")
	case isKnown && o.Op != "append" && (o.Op == "read" || o.Op == "increment") != isNumber:
		return errors.New("a whole number as result belongs to read and increment, and to append perhaps")
	case isKnown && (o.Op == "look") != isTask:
		return errors.New("two whole numbers as result belong to look, and to it alone")
	case isKnown && (o.Op == "cas") != isTruth:
		return errors.New("a truth as result belongs to cas, and to it alone")
	case o.Op == "write" && o.Result != nil, o.Op == "append" && o.Result != nil && !isNumber:
		return errors.New("a write has no result, and an append a place or none")
	}
	return nil
}

// step says whether a task at *before* could have answered so, and what it holds then.
func step(state, input, _ any) (bool, any) {
	before, o := state.(task), input.(*operation)
	after := before
	var told any
	switch o.Op {
	case "read":
		told = before.number
	case "look":
		told = before
	case "write":
		after.number = *o.Value
	case "increment":
		after.number++
		told = after.number
	case "append":
		after.findings++
		if o.Result != nil {
			told = after.findings
		}
	default: // cas
		told = before.number == *o.Expected
		if told == true {
			after.number = *o.Value
		}
	}
	return o.Return == nil || told == o.Result, after
}

func read(file io.Reader) (map[string][]porcupine.Operation, error) {
	histories := map[string][]porcupine.Operation{}
	lines := bufio.NewReader(file)
	for number := 1; ; number++ {
		line, end := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			o, err := parse(line)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", number, err)
			}
			ended := int64(math.MaxInt64)
			if o.Return != nil {
				ended = *o.Return
			}
			histories[o.Key] = append(
				histories[o.Key], porcupine.Operation{Input: o, Call: *o.Call, Return: ended})
		}
		if end == io.EOF {
			return histories, nil
		}
		if end != nil {
			return nil, end
		}
	}
}

func parse(line []byte) (*operation, error) {
	o := &operation{line: string(bytes.TrimSpace(line))}
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	decoder.UseNumber()
	if err := decoder.Decode(o); err != nil {
		return nil, err
	}
	if decoder.More() {
		return nil, errors.New("one operation a line")
	}
	var err error
	switch result := o.Result.(type) {
	case json.Number:
		o.Result, err = result.Int64()
	case []any:
		o.Result, err = both(result)
	}
	if err != nil {
		return nil, err
	}
	return o, o.check()
}

// both reads the result of a look.
func both(numbers []any) (task, error) {
	var whole []int64
	for _, each := range numbers {
		number, _ := each.(json.Number)
		value, err := number.Int64()
		if err != nil {
			return task{}, err
		}
		whole = append(whole, value)
	}
	if len(whole) != 2 {
		return task{}, errors.New("a look finds two numbers")
	}
	return task{whole[0], whole[1]}, nil
}

// explain names the operation that has no place after the longest order that fits.
func explain(history []porcupine.Operation, info porcupine.LinearizationInfo) string {
	var longest []porcupine.Operation
	for _, order := range info.PartialLinearizationsOperations()[0] {
		if len(order) > len(longest) {
			longest = order
		}
	}
	state, placed := any(task{}), map[any]bool{}
	for _, o := range longest {
		_, state = step(state, o.Input, nil)
		placed[o.Input] = true
	}
	rest := slices.DeleteFunc(slices.Clone(history), func(o porcupine.Operation) bool { return placed[o.Input] })
	first := slices.MinFunc(rest, func(a, b porcupine.Operation) int {
		if a.Return < b.Return {
			return -1
		}
		return 1
	})
	return fmt.Sprintf("no order fits; %d of %d operations lead to %v, and then there is no place for %s",
		len(longest), len(history), state, first.Input.(*operation).line)
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: linearize FILE")
		os.Exit(2)
	}
	file, err := os.Open(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	histories, err := read(file)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[1], err)
		os.Exit(2)
	}
	model := porcupine.Model{Init: func() any { return task{} }, Step: step}
	for _, key := range slices.Sorted(maps.Keys(histories)) {
		result, info := porcupine.CheckOperationsVerbose(model, histories[key], patience)
		switch result {
		case porcupine.Illegal:
			fmt.Printf("key %q: %s\n", key, explain(histories[key], info))
			os.Exit(1)
		case porcupine.Unknown:
			fmt.Printf("key %q: not known after %s\n", key, patience)
			os.Exit(3)
		}
	}
}
