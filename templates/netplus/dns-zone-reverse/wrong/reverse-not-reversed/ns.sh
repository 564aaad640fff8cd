set -eu
cat > /etc/bind/named.conf.options <<'CONF'
options {
	directory "/var/cache/bind";
	recursion no;
	allow-query { any; };
	allow-transfer { none; };
	dnssec-validation no;
	listen-on { any; };
	listen-on-v6 { none; };
};
CONF
cat > /etc/bind/named.conf.local <<'CONF'
zone "{{zone}}" {
	type primary;
	file "/etc/bind/db.forward";
	allow-transfer { {{backup.eth0}}; };
};
zone "{{office.network}}.in-addr.arpa" {
	type primary;
	file "/etc/bind/db.reverse";
	allow-transfer { {{backup.eth0}}; };
};
CONF
cat > /etc/bind/db.forward <<'ZONE'
$TTL 3600
@	IN	SOA	ns.{{zone}}. hostmaster.{{zone}}. ( 1 3600 900 604800 300 )
	IN	NS	ns.{{zone}}.
	IN	MX	10 mail.{{zone}}.
ns	IN	A	{{ns.eth0}}
{{names.0}}	IN	A	{{hosts.0}}
{{names.1}}	IN	A	{{hosts.1}}
{{names.2}}	IN	A	{{hosts.2}}
mail	IN	A	{{hosts.3}}
{{alias}}	IN	CNAME	{{names.2}}.{{zone}}.
ZONE
cat > /etc/bind/db.reverse <<'ZONE'
$TTL 3600
@	IN	SOA	ns.{{zone}}. hostmaster.{{zone}}. ( 1 3600 900 604800 300 )
	IN	NS	ns.{{zone}}.
{{hosts.0.octet.4}}	IN	PTR	{{names.0}}.{{zone}}.
{{hosts.1.octet.4}}	IN	PTR	{{names.1}}.{{zone}}.
{{hosts.2.octet.4}}	IN	PTR	{{names.2}}.{{zone}}.
{{hosts.3.octet.4}}	IN	PTR	mail.{{zone}}.
ZONE
chmod 644 /etc/bind/db.forward /etc/bind/db.reverse /etc/bind/named.conf.local /etc/bind/named.conf.options
named-checkconf -z
pkill -HUP named
# named reads again in its own time.
for zone in {{zone}} {{office.network}}.in-addr.arpa; do
	timeout 20 sh -c 'until dig +short +norecurse @127.0.0.1 "$0" SOA | grep -q .; do sleep 0.1; done' "$zone"
done
