// SPDX-License-Identifier: Apache-2.0
//
// Forwards established plain RTP inside the kernel, at the ingress of an interface.
//
// A rule is made by the edge for one direction of one stream, after user space has judged its
// source. A packet passes here only if it is what user space would forward as a matter of course:
// the exact source that holds the latch, the same synchronisation source, a negotiated payload
// type, in sequence, within the rate. It is counted as RFC 3550 A.1, A.3 and A.8 count it, so that
// records and scores come out the same. Everything else goes up, where it is judged as ever.
// Faster than the rate is dropped here, so that a flood costs no more than it did.
//
// The object beside this file is what the edge loads; `cargo xtask tidy --write` compiles it.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

// Directions of streams at once: two for each call.
#define RULES_MAX 65536
// RFC 3550 A.1.
#define MAX_DROPOUT 3000
// Sequence numbers in which repetitions are told from late packets.
#define WINDOW 64
// The packet's new TTL: what hosts begin with.
#define TTL 64
#define IP_DONT_FRAGMENT 0x4000
#define IP_MORE_AND_OFFSET 0x3fff

// In network byte order.
struct key {
	__u32 local_addr;
	__u32 remote_addr;
	__u16 local_port;
	__u16 remote_port;
};

// `rule.rs` has the same in Rust.
struct rule {
	// Where it goes, in network byte order.
	__u32 source_addr;
	__u32 destination_addr;
	__u16 source_port;
	__u16 destination_port;
	// The interface it leaves by; 0: it stays on this host.
	__u32 interface;

	// What may pass.
	__u64 payload_types[2];
	__u64 tolerance_ns;
	__u32 interval_ns;
	__u32 clock_rate;
	__u32 ssrc;
	__u32 type_of_service;

	// What has passed.
	__u64 due_ns;
	__u64 last_ns;
	// When the packet came that jitter was last measured with; 0: none yet.
	__u64 measured_ns;
	__u64 packets;
	__u64 bytes;
	__u64 window;
	__u32 highest;
	__u32 received;
	__u32 duplicates;
	__u32 reordered;
	__u32 jitter;
	__u32 timestamp;
	__u32 over_rate;
	// One packet of a rule at a time, whatever queues it came by.
	struct bpf_spin_lock lock;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, RULES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct key);
	__type(value, struct rule);
} RULES SEC(".maps");

struct rtp {
	__u8 first;
	__u8 second;
	__u16 seq;
	__u32 timestamp;
	__u32 ssrc;
};

enum verdict { UP, DROP, PASS };

static __always_inline __u32 ticks(__u64 ns, __u32 rate)
{
	__u64 seconds = ns / 1000000000;
	return seconds * rate + (ns % 1000000000) * rate / 1000000000;
}

// RFC 3550 A.8, in 1/16 of a tick.
static __always_inline void measure(struct rule *rule, __u64 now, __u32 timestamp)
{
	__u64 before = rule->measured_ns;
	__u32 rate = rule->clock_rate;

	// Packets that repeat a timestamp (telephone events) do not count.
	if (before && timestamp == rule->timestamp)
		return;
	if (before) {
		__s32 change = ticks(now, rate) - timestamp - (ticks(before, rate) - rule->timestamp);
		__u32 distance = change < 0 ? -change : change;
		// A clock that jumps by more than a second begins anew.
		if (distance <= rate)
			rule->jitter += distance - ((rule->jitter + 8) >> 4);
	}
	rule->measured_ns = now;
	rule->timestamp = timestamp;
}

// Called with the lock held.
static __always_inline enum verdict count(struct rule *rule, __u64 now, __u16 seq, __u32 timestamp,
					  __u32 length)
{
	__s16 ahead = seq - (__u16)rule->highest;
	if (ahead >= MAX_DROPOUT || ahead <= -WINDOW)
		return UP;

	__u64 due = rule->due_ns > now ? rule->due_ns : now;
	if (due - now > rule->tolerance_ns) {
		rule->over_rate++;
		return DROP;
	}
	rule->due_ns = due + rule->interval_ns;

	rule->packets++;
	rule->bytes += length;
	rule->last_ns = now;
	if (ahead > 0) {
		rule->window = ahead >= WINDOW ? 1 : rule->window << ahead | 1;
		rule->highest += ahead;
		rule->received++;
		measure(rule, now, timestamp);
		return PASS;
	}
	__u64 bit = 1ull << (-ahead & (WINDOW - 1));
	if (rule->window & bit) {
		rule->duplicates++;
		return PASS;
	}
	rule->window |= bit;
	rule->received++;
	rule->reordered++;
	return PASS;
}

static __always_inline __u16 header_checksum(const struct iphdr *ip)
{
	const __u16 *words = (const __u16 *)ip;
	__u32 sum = 0;
#pragma unroll
	for (int word = 0; word < 10; word++)
		sum += words[word];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

// TC_ACT_UNSPEC: not ours; the next program at this interface looks at it.
static __always_inline int relay(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct ethhdr *ethernet = data;
	struct iphdr *ip = data + sizeof(*ethernet);
	struct udphdr *udp = (void *)(ip + 1);
	struct rtp *rtp = (void *)(udp + 1);

	if ((void *)(rtp + 1) > end || skb->protocol != bpf_htons(ETH_P_IP))
		return TC_ACT_UNSPEC;
	if (ip->version != 4 || ip->ihl != 5 || ip->protocol != 17)
		return TC_ACT_UNSPEC;
	if (ip->frag_off & bpf_htons(IP_MORE_AND_OFFSET) || skb->gso_size)
		return TC_ACT_UNSPEC;

	struct key key = {
		.local_addr = ip->daddr,
		.remote_addr = ip->saddr,
		.local_port = udp->dest,
		.remote_port = udp->source,
	};
	struct rule *rule = bpf_map_lookup_elem(&RULES, &key);
	if (!rule)
		return TC_ACT_UNSPEC;

	// Version 2 without padding; one with padding is looked at more closely above.
	if ((rtp->first & 0xe0) != 0x80 || rtp->ssrc != rule->ssrc)
		return TC_ACT_UNSPEC;
	__u8 payload_type = rtp->second & 0x7f;
	if (!(rule->payload_types[payload_type >> 6] >> (payload_type & 63) & 1))
		return TC_ACT_UNSPEC;
	__u32 udp_length = bpf_ntohs(udp->len);
	__u32 ip_length = bpf_ntohs(ip->tot_len);
	__u32 header = sizeof(*udp) + sizeof(*rtp);
	if (udp_length + sizeof(*ip) != ip_length || ip_length + sizeof(*ethernet) > skb->len)
		return TC_ACT_UNSPEC;
	// The list of contributing sources and the extension must be there.
	header += (rtp->first & 0xf) * 4;
	if (rtp->first & 0x10 || header > udp_length)
		return TC_ACT_UNSPEC;

	__u64 now = bpf_ktime_get_ns();
	__u16 seq = bpf_ntohs(rtp->seq);
	__u32 timestamp = bpf_ntohl(rtp->timestamp);
	bpf_spin_lock(&rule->lock);
	enum verdict verdict = count(rule, now, seq, timestamp, udp_length - sizeof(*udp));
	bpf_spin_unlock(&rule->lock);
	if (verdict == UP)
		return TC_ACT_UNSPEC;
	if (verdict == DROP)
		return TC_ACT_SHOT;

	__u32 source_addr = rule->source_addr, destination_addr = rule->destination_addr;
	__u16 source_port = rule->source_port, destination_port = rule->destination_port;
	__u32 interface = rule->interface;

	// Nothing of the other side's header goes on: not its TTL, not its identification.
	struct iphdr fresh = {
		.version = 4,
		.ihl = 5,
		.tos = rule->type_of_service,
		.tot_len = ip->tot_len,
		.frag_off = bpf_htons(IP_DONT_FRAGMENT),
		.ttl = TTL,
		.protocol = 17,
		.saddr = source_addr,
		.daddr = destination_addr,
	};
	fresh.check = header_checksum(&fresh);
	const __u32 at = sizeof(struct ethhdr) + sizeof(struct iphdr);
	const __u32 check_at = at + __builtin_offsetof(struct udphdr, check);
	const __u64 addresses = BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0 | 4;
	const __u64 ports = BPF_F_MARK_MANGLED_0 | 2;
	if (bpf_l4_csum_replace(skb, check_at, key.remote_addr, source_addr, addresses) ||
	    bpf_l4_csum_replace(skb, check_at, key.local_addr, destination_addr, addresses) ||
	    bpf_l4_csum_replace(skb, check_at, key.remote_port, source_port, ports) ||
	    bpf_l4_csum_replace(skb, check_at, key.local_port, destination_port, ports) ||
	    bpf_skb_store_bytes(skb, sizeof(struct ethhdr), &fresh, sizeof(fresh), 0) ||
	    bpf_skb_store_bytes(skb, at, &source_port, 2, 0) ||
	    bpf_skb_store_bytes(skb, at + 2, &destination_port, 2, 0))
		return TC_ACT_SHOT;
	if (!interface)
		return TC_ACT_OK;
	return bpf_redirect_neigh(interface, 0, 0, 0);
}

SEC("classifier")
int ringfence_relay(struct __sk_buff *skb)
{
	return relay(skb);
}

char _license[] SEC("license") = "Apache-2.0";
