// Package outcome defines the results of a run: what was measured for each validation case
// and each epoch, for every network and loss. Those who measure write it, those who report
// read it; neither knows how the other works.
//
// A measure that has no value for a case (such as the sensitivity for a case without a
// tumor) is undefined throughout: it is excluded from every mean, and the mean states how
// many cases it includes. It is never NaN in a file and never replaced by 0 or 1.
package outcome
