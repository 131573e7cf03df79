#include "observe/remote_process.h"

#include <fnmatch.h>
#include <string.h>

#include "base/clock.h"

void belay__remote_host(const char *name, char host[static BELAY__HOST_SIZE])
{
	const char *slash = strchr(name, '/');
	size_t len = slash != NULL && slash - name < BELAY__HOST_SIZE ? (size_t)(slash - name) : 0;

	memcpy(host, name, len);
	host[len] = '\0';
}

uint16_t belay__remote_rule(const struct belay__rule *rules, uint32_t count, const char *host)
{
	for (uint32_t i = 0; i < count; i++)
		if (rules[i].host[0] != '\0' && fnmatch(rules[i].host, host, 0) == 0)
			return (uint16_t)(i + 1);
	return 0;
}

/* A rule's name may be as long as a name can be; behind a host's it is cut. */
static void write_name(struct belay__record *record, const char *host,
	const struct belay__rule *rule)
{
	struct belay__text text;

	memset(record->name, 0, sizeof(record->name));
	belay__text_init(&text, record->name, sizeof(record->name));
	belay__text_add(&text, host);
	belay__text_add(&text, "/");
	if (rule != NULL)
		belay__text_add(&text, rule->name);
	else
		belay__text_add_u64(&text, belay__key_pid(record->pid));
}

void belay__remote_name(struct belay_observer *observer, uint32_t at)
{
	struct belay__record *record = &observer->table.records[observer->table.slots[at].record];
	const char *host = observer->hosts->name[belay__key_host(record->pid)];
	uint16_t rule = belay__remote_rule(observer->rules, observer->rule_count, host);
	char before[BELAY__NAME_SIZE];

	belay__totals_hold(observer->totals);
	memcpy(before, record->name, sizeof(before));
	record->rule = rule;
	record->name_source = rule != 0 ? BELAY__NAME_RULE : BELAY__NAME_REMOTE;
	record->ordinal = 0;
	write_name(record, host, rule != 0 ? &observer->rules[rule - 1] : NULL);
	if (before[0] != '\0' && strcmp(before, record->name) != 0)
		belay__totals_move(observer->totals, record->uid, before, record->name,
			&(struct belay__total){ .beats = record->beats, .stalls = record->stalls });
	belay__totals_release(observer->totals);
	belay__join_rule(observer, at);
}

void belay__remote_count(struct belay_observer *observer, uint32_t key, bool added)
{
	uint32_t host = belay__key_host(key), one = added ? 1 : UINT32_MAX;

	if (host == 0)
		return;
	observer->far_used[host] += one;
	observer->far_used[0] += one;
}

bool belay__remote_has_share(const struct belay_observer *observer, uint32_t host)
{
	const struct belay__hosts *hosts = observer->hosts;
	uint32_t all = (observer->table.capacity + 1) / 2, reserved = 0;
	uint32_t own = all / 2 / (hosts->count > 0 ? hosts->count : 1);

	if (observer->far_used[0] >= all)
		return false;
	if (observer->far_used[host] < own)
		return true;
	/* What the others have not taken yet of their own is left to them. */
	for (uint32_t other = 1; other <= hosts->count; other++)
		if (other != host && observer->far_used[other] < own)
			reserved += own - observer->far_used[other];
	return observer->far_used[0] + reserved < all;
}

void belay__remote_begin(struct belay_observer *observer, uint32_t at)
{
	struct belay__record *record = &observer->table.records[observer->table.slots[at].record];

	belay__remote_count(observer, record->pid, true);
	record->uid = BELAY__NO_UID;
	record->first_realtime_ns = belay__clock_ns(CLOCK_REALTIME);
	record->paid_ns = observer->arrived_after_ns;
	observer->watches[observer->table.slots[at].record].recovered_ns = 0;
	belay__remote_name(observer, at);
}

uint32_t belay__remote_renumber(struct belay__kept *kept, uint32_t count,
	const struct belay__hosts *hosts)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < count; i++) {
		struct belay__kept *one = &kept[i];
		char name[BELAY__HOST_SIZE];
		uint32_t host;

		if (belay__key_host(one->slot.pid) != 0) {
			belay__remote_host(one->record.name, name);
			host = belay__host_find(hosts, name);
			if (host == 0)
				continue;
			one->slot.pid = belay__process_key(host, belay__key_pid(one->slot.pid));
			one->record.pid = one->slot.pid;
		}
		if (left != i)
			kept[left] = *one;
		left++;
	}
	return left;
}

void belay__json_uid(struct belay__json_writer *json, uint32_t uid)
{
	if (uid == BELAY__NO_UID)
		belay__json_null(json, "uid");
	else
		belay__json_u64(json, "uid", uid);
}

void belay__json_process(struct belay__json_writer *json, uint32_t key, uint32_t uid,
	const char *name)
{
	char host[BELAY__HOST_SIZE];

	if (belay__key_host(key) == 0) {
		belay__json_u64(json, "uid", uid);
		belay__json_u64(json, "pid", key);
		return;
	}
	belay__remote_host(name, host);
	belay__json_uid(json, uid);
	belay__json_u64(json, "pid", belay__key_pid(key));
	belay__json_string(json, "host", host);
}
