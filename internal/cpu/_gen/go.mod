module github.com/x/afl/internal/cpu/_gen

go 1.26.0

require (
	github.com/mmcloughlin/avo v0.5.0
	github.com/x/afl v0.0.0
)

require (
	golang.org/x/mod v0.6.0 // indirect
	golang.org/x/sys v0.50.0 // indirect
	golang.org/x/tools v0.2.0 // indirect
)

replace github.com/x/afl => ../../..
