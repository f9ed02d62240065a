#!/bin/sh
# Whether the POSH document of a host names the certificate that an XMPP server shows (RFC 7711 3.1, 3.3), with openssl alone.
# Usage: posh-check.sh S2S-ADDRESS:PORT DOMAIN WEB-ADDRESS:PORT HOST ROOTS.pem; prints the hashes found, status 1 when one is not there.
set -eu
s2s=$1 domain=$2 web=$3 host=$4 roots=$5

shown=$(openssl s_client -connect "$s2s" -starttls xmpp-server -xmpphost "$domain" </dev/null 2>/dev/null | openssl x509)
answer=$(printf 'GET /.well-known/posh/xmpp-server.json HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$host" |
  openssl s_client -quiet -connect "$web" -servername "$host" -verify_hostname "$host" -verify_return_error -CAfile "$roots" 2>/dev/null) || answer=

case $answer in
"HTTP/1.1 200 "*) ;;
*)
  echo "no document: $(printf '%s' "$answer" | head -n 1)" >&2
  exit 1
  ;;
esac
for hash in 256 512; do
  digest=$(printf '%s\n' "$shown" | openssl x509 -outform der | openssl dgst "-sha$hash" -binary | openssl base64 -A)
  case $answer in
  *"\"sha-$hash\":\"$digest\""*) echo "sha-$hash $digest" ;;
  *)
    echo "sha-$hash of the certificate shown is not in the document: $digest" >&2
    exit 1
    ;;
  esac
done
