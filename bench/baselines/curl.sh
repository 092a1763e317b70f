#!/usr/bin/env bash
# What curl takes for the same transfer: curl.sh <GET this> <POST it there>
#
# Not `curl -F file=@-`: that reads its standard input to the end, into memory, before it sends the first byte. With -T it
# streams, in chunked encoding, so the multipart frame around the file is made by hand.
set -euo pipefail
boundary=dropscore-bench
{
  printf -- '--%s\r\nContent-Disposition: form-data; name="file"; filename="input.csv"\r\n' "$boundary"
  printf 'Content-Type: text/csv\r\n\r\n'
  curl --silent --show-error --fail "$1"
  printf '\r\n--%s--\r\n' "$boundary"
} | curl --silent --show-error --fail --request POST --upload-file - --header 'Expect:' \
  --header "Content-Type: multipart/form-data; boundary=$boundary" "$2"
