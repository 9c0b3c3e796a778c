"""Imports the public *Online Retail* and *Online Retail II* data sets into MongoDB.

Chen, D. (2012), UCI Machine Learning Repository, data sets 352 and 502, CC BY 4.0: every line that
a UK gift shop invoiced from December 2009 to December 2011. The shop's documents come out as the
demo store writes them (`store_id` "online_retail", schema version 2), so that everything above
`raw` treats both alike.

**Where a source line is found again.** The lines of an invoice are numbered 1, 2, … in the order
of the source; line *n* of invoice *I* is named `I-n`. Every source line is found exactly once:

| source line | is found as |
|---|---|
| invoice without a letter | `orders` "or-I", `kind` "sale", `items[]` with `line_id` "I-n" |
| invoice that begins with A (bad debt) | `orders` "or-I", `kind` "adjustment", `items[]` "I-n" |
| C invoice (cancellation), tied | in `refunds[]` with id I of the order that it cancels: the \
`lines[]` entry with `source_line` "I-n" (its `line_id` is the cancelled item's) |
| C invoice, not tied | `orders` "or-I", `kind` "credit_note", `items[]` "I-n" as in the source |

So Σ qty * unit_price over all items, less Σ refunds[].lines[].amount, is Σ Quantity * Price of the
source, exactly. The sum has three decimals (18,909,744.118 for both files): rounding it gives the
published 18,909,744.12, but rounding each line first gives 18,909,744.10. Nothing is rounded here,
and nothing that is added up may be rounded before it is added up.

**Overlap.** An invoice that stands in several exports is taken once: each of its lines occurs as
often as in the export that has it most often. An export is a file, a sheet of a workbook, or what
lies between two places where a file goes back in time by more than a day: the workbook of the
second data set has the overlap between its sheets, the CSV that is passed around has it within.
Where the copies are the same (1,088 invoices of the two public files) that is the invoice itself;
where they are not, no line of either copy is lost, and the invoice is named in a warning and in
the manifest. The other choice, to keep the later export's copy, would lose lines when a file was
cut in the middle of an invoice.

**Exact duplicates** within an export stay: the published counts include them, and a basket may hold
an article twice.

**Ties.** A cancellation line is tied to at most one sale line: same customer, same stock code,
same price, strictly earlier, and with at least that quantity not yet cancelled; of several the
most recent one. Lines without a customer are never tied: with a popular article any anonymous
sale of the day would match. What cannot be told stays a credit note of its own.

**Other readings.** Times are UK local times and become UTC; a time in the hour that the clock
skips becomes the end of that hour, one in the hour that it repeats is the first of the two. Stock
codes lose blanks around them and keep their case (15056BL and 15056bl are two codes). The text
"nan" as a description is a missing one. Prices become decimals by their shortest text (2.55, never
2.54999…). A product's title is its most frequent description among lines that were sold at a
price, its price the most frequent one in the last month of such sales; ties go to the later one. A
customer's country is that of the latest line; countries are written as ISO codes beside the
source's name. `updated_at` is the last event on the document in the data, so that the same files
always give the same documents.
"""
