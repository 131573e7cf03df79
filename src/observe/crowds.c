#include "observe/crowds.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "identity/evidence.h"
#include "observe/core.h"

/* How long after a deadline its verdict may come. */
#define EVIDENCE_NS (UINT64_C(2) * BELAY__EVIDENCE_WITHIN_MS * BELAY__NS_PER_MS)
/* How many are looked at, once, to say how many are silent when a mass stall starts. */
#define LOOKS_AT_START 4096

static struct belay__member *member(struct belay_observer *observer, uint32_t number)
{
	return &observer->watches[number].member;
}

bool belay__is_blamed(const struct belay_observer *observer, uint16_t rule, uint8_t verdict)
{
	uint32_t mask = 1u << BELAY__VERDICT_BLOCKED | 1u << BELAY__VERDICT_SILENT;

	if (rule <= BELAY__RULES_MAX)
		mask |= observer->crowds.also[rule];
	return verdict < BELAY__VERDICT_COUNT && (mask & 1u << verdict) != 0;
}

/* More than a fifth, and not fewer than five. */
static uint32_t mass_of(const struct belay__crowd *crowd)
{
	uint32_t mass = crowd->members / 5 + 1;

	return mass < BELAY__CROWD_MASS_MIN ? BELAY__CROWD_MASS_MIN : mass;
}

/* Place AT, where nobody belongs, is that of RULE, UID and HOST. */
static void make_crowd(struct belay_observer *observer, uint32_t at, uint16_t rule, uint32_t uid,
	uint16_t host)
{
	struct belay__crowd *crowd = &observer->crowds.crowds[at];
	struct belay__text text;
	const char *name = rule == 0 || rule > observer->rule_count
		? "(no rule)"
		: observer->rules[rule - 1].name;

	if (at == BELAY__CROWDS_MAX) {
		name = "(others)";
		host = 0;
	}
	*crowd = (struct belay__crowd){ .rule = rule,
		.uid = uid,
		.host = host,
		.oldest = BELAY__NO_RECORD,
		.newest = BELAY__NO_RECORD };
	belay__text_init(&text, crowd->name, sizeof(crowd->name));
	if (host != 0 && observer->hosts != NULL) {
		belay__text_add(&text, observer->hosts->name[host]);
		belay__text_add(&text, "/");
	}
	belay__text_add(&text, name);
}

/* The crowd of RECORD's process, an empty one made its, or that of all others. */
static uint16_t find(struct belay_observer *observer, const struct belay__record *record)
{
	const uint16_t host = (uint16_t)belay__key_host(record->pid);
	const struct belay__crowds *crowds = &observer->crowds;
	uint16_t empty = BELAY__CROWDS_MAX;

	for (uint16_t i = 0; i < BELAY__CROWDS_MAX; i++) {
		const struct belay__crowd *crowd = &crowds->crowds[i];

		if (crowd->members == 0 && !crowd->ends && empty == BELAY__CROWDS_MAX)
			empty = i;
		if (crowd->members > 0 && crowd->rule == record->rule &&
			crowd->uid == record->uid && crowd->host == host)
			return i;
	}
	if (crowds->crowds[empty].members == 0 && !crowds->crowds[empty].ends)
		make_crowd(observer, empty, record->rule, record->uid, host);
	return empty;
}

static void forget_recent(struct belay_observer *observer, struct belay__crowd *crowd,
	uint32_t number)
{
	struct belay__member *gone = member(observer, number);

	if (!gone->recent)
		return;
	if (gone->prev != BELAY__NO_RECORD)
		member(observer, gone->prev)->next = gone->next;
	else
		crowd->oldest = gone->next;
	if (gone->next != BELAY__NO_RECORD)
		member(observer, gone->next)->prev = gone->prev;
	else
		crowd->newest = gone->prev;
	gone->recent = false;
	crowd->recent--;
}

static void add_recent(struct belay_observer *observer, struct belay__crowd *crowd, uint32_t number)
{
	struct belay__member *added = member(observer, number);

	added->prev = crowd->newest;
	added->next = BELAY__NO_RECORD;
	added->recent = true;
	added->since_ns = observer->now_ns;
	if (crowd->newest != BELAY__NO_RECORD)
		member(observer, crowd->newest)->next = number;
	else
		crowd->oldest = number;
	crowd->newest = number;
	crowd->recent++;
}

static void mark_news(struct belay_observer *observer, bool *news)
{
	*news = true;
	observer->crowd_news++;
}

/* --- who is left when a mass stall is over --- */

static void leave_behind(struct belay_observer *observer, uint32_t number)
{
	struct belay__crowds *crowds = &observer->crowds;
	struct belay__member *left = member(observer, number);

	left->left = true;
	left->prev = crowds->left_last;
	left->next = BELAY__NO_RECORD;
	if (crowds->left_last != BELAY__NO_RECORD)
		member(observer, crowds->left_last)->next = number;
	else
		crowds->left_first = number;
	crowds->left_last = number;
}

static void forget_left(struct belay_observer *observer, uint32_t number)
{
	struct belay__crowds *crowds = &observer->crowds;
	struct belay__member *gone = member(observer, number);

	if (!gone->left)
		return;
	if (gone->prev != BELAY__NO_RECORD)
		member(observer, gone->prev)->next = gone->next;
	else
		crowds->left_first = gone->next;
	if (gone->next != BELAY__NO_RECORD)
		member(observer, gone->next)->prev = gone->prev;
	else
		crowds->left_last = gone->prev;
	gone->left = false;
}

uint32_t belay__crowds_left_next(struct belay_observer *observer)
{
	uint32_t number = observer->crowds.left_first;

	if (number != BELAY__NO_RECORD) {
		forget_left(observer, number);
		observer->table.records[number].marks &= (uint8_t)~BELAY__MARK_IN_MASS;
	}
	return number;
}

/* Those on CROWD's list that its mass stall held; without one, that another observer's did. */
static void leave_all_behind(struct belay_observer *observer, struct belay__crowd *crowd,
	bool marked_only)
{
	uint32_t next;

	for (uint32_t number = crowd->oldest; number != BELAY__NO_RECORD; number = next) {
		next = member(observer, number)->next;
		if (marked_only && !(observer->table.records[number].marks & BELAY__MARK_IN_MASS))
			continue;
		forget_recent(observer, crowd, number);
		leave_behind(observer, number);
	}
}

/* A mass stall is over when it would be none any more. */
static void review(struct belay_observer *observer, struct belay__crowd *crowd)
{
	if (!crowd->told || crowd->recent >= mass_of(crowd))
		return;
	crowd->told = false;
	crowd->watched_until_ns = 0;
	leave_all_behind(observer, crowd, /* marked_only= */ false);
	/* One that was not told yet need not be told to be over. */
	if (crowd->starts) {
		crowd->starts = false;
		observer->crowd_news--;
	} else {
		mark_news(observer, &crowd->ends);
	}
}

/* --- coming and going --- */

/* What an earlier observer, or one with other rules, owed to the process of record NUMBER. */
static void take_up(struct belay_observer *observer, struct belay__crowd *crowd, uint32_t number)
{
	struct belay__record *record = &observer->table.records[number];
	uint32_t at = belay__table_find(&observer->table, record->pid);
	uint64_t until_ns;

	add_recent(observer, crowd, number);
	if ((record->marks & BELAY__MARK_IN_MASS) || at == BELAY__NO_SLOT)
		return;
	/* Nobody of them was heard since: all are suspected until they are. */
	until_ns = observer->now_ns + EVIDENCE_NS +
		observer->table.deadlines.length_ns[observer->table.slots[at].list];
	if (until_ns > crowd->watched_until_ns)
		crowd->watched_until_ns = until_ns;
	crowd->suspect_before_ns = observer->now_ns;
}

void belay__crowd_join(struct belay_observer *observer, uint32_t number, bool stalled)
{
	struct belay__record *record = &observer->table.records[number];
	struct belay__member *joined = member(observer, number);
	uint16_t at = find(observer, record);
	struct belay__crowd *crowd = &observer->crowds.crowds[at];

	*joined = (struct belay__member){ .crowd = (uint16_t)(at + 1), .silent = stalled };
	crowd->members++;
	crowd->silent += stalled;
	if (!stalled)
		record->marks &= (uint8_t)~BELAY__MARK_IN_MASS;
	else if (record->marks & (BELAY__MARK_IN_MASS | BELAY__MARK_HELD))
		take_up(observer, crowd, number);
	review(observer, crowd);
}

/* It is not silent any more, or not one of them. */
static void drop(struct belay_observer *observer, struct belay__crowd *crowd, uint32_t number)
{
	struct belay__member *dropped = member(observer, number);

	forget_left(observer, number);
	if (!dropped->silent)
		return;
	forget_recent(observer, crowd, number);
	dropped->silent = false;
	crowd->silent--;
}

void belay__crowd_heard(struct belay_observer *observer, uint32_t number)
{
	const struct belay__member *heard = member(observer, number);
	struct belay__crowd *crowd;

	observer->table.records[number].marks = 0;
	if (!heard->silent || heard->crowd == 0)
		return;
	crowd = &observer->crowds.crowds[heard->crowd - 1];
	drop(observer, crowd, number);
	review(observer, crowd);
}

void belay__crowd_leave(struct belay_observer *observer, uint32_t number)
{
	struct belay__member *gone = member(observer, number);
	struct belay__crowd *crowd;

	if (gone->crowd == 0)
		return;
	crowd = &observer->crowds.crowds[gone->crowd - 1];
	drop(observer, crowd, number);
	crowd->members--;
	gone->crowd = 0;
	review(observer, crowd);
}

void belay__crowd_rejoin(struct belay_observer *observer, uint32_t number)
{
	struct belay__member *again = member(observer, number);

	if (again->crowd == 0 || !again->silent || again->recent)
		return;
	forget_left(observer, number);
	add_recent(observer, &observer->crowds.crowds[again->crowd - 1], number);
	observer->table.records[number].marks |= BELAY__MARK_IN_MASS;
}

/* --- over a reload and a restart --- */

void belay__crowds_reset(struct belay_observer *observer)
{
	struct belay__crowds *crowds = &observer->crowds;

	memset(crowds->crowds, 0, sizeof(crowds->crowds));
	crowds->left_first = crowds->left_last = BELAY__NO_RECORD;
	crowds->at_hand = 0;
	observer->crowd_news = 0;
	for (uint32_t i = 0; i < observer->options.capacity; i++)
		observer->watches[i].member = (struct belay__member){ .crowd = 0 };
}

void belay__crowds_keep(const struct belay_observer *observer, struct belay__mass_stalls *ret_kept)
{
	ret_kept->count = 0;
	for (uint32_t i = 0; i <= BELAY__CROWDS_MAX; i++) {
		const struct belay__crowd *crowd = &observer->crowds.crowds[i];
		struct belay__mass_stall *kept = &ret_kept->stalls[ret_kept->count];

		if (!crowd->told && !crowd->ends)
			continue;
		*kept = (struct belay__mass_stall){ .uid = crowd->uid,
			.goes_on = crowd->told,
			.starts = crowd->starts };
		memcpy(kept->name, crowd->name, sizeof(kept->name));
		ret_kept->count++;
	}
}

static bool has_marked(struct belay_observer *observer, const struct belay__crowd *crowd)
{
	for (uint32_t number = crowd->oldest; number != BELAY__NO_RECORD;
		number = member(observer, number)->next)
		if (observer->table.records[number].marks & BELAY__MARK_IN_MASS)
			return true;
	return false;
}

static void mark_all(struct belay_observer *observer, const struct belay__crowd *crowd)
{
	for (uint32_t number = crowd->oldest; number != BELAY__NO_RECORD;
		number = member(observer, number)->next)
		observer->table.records[number].marks |= BELAY__MARK_IN_MASS;
}

static bool is_of(const struct belay__crowd *crowd, const char *name, uint32_t uid)
{
	return crowd->uid == uid && strcmp(crowd->name, name) == 0;
}

/* The mass stall of a crowd that is none any more is over. */
static void tell_over(struct belay_observer *observer, const char *name, uint32_t uid)
{
	for (uint32_t i = 0; i < BELAY__CROWDS_MAX; i++) {
		struct belay__crowd *crowd = &observer->crowds.crowds[i];

		if (crowd->members > 0 || crowd->ends)
			continue;
		make_crowd(observer, i, 0, uid, 0);
		(void)snprintf(crowd->name, sizeof(crowd->name), "%s", name);
		mark_news(observer, &crowd->ends);
		return;
	}
}

void belay__crowds_known(struct belay_observer *observer, const char *name, uint32_t uid)
{
	for (uint32_t i = 0; i <= BELAY__CROWDS_MAX; i++) {
		const struct belay__crowd *crowd = &observer->crowds.crowds[i];

		if ((crowd->told || crowd->ends) && is_of(crowd, name, uid))
			return;
	}
	tell_over(observer, name, uid);
}

/* The mass stall of CROWD goes on; STARTS: nobody was told yet. */
static void go_on(struct belay_observer *observer, struct belay__crowd *crowd, bool starts)
{
	crowd->told = true;
	if (starts)
		mark_news(observer, &crowd->starts);
	else
		mark_all(observer, crowd);
	review(observer, crowd);
}

static void resume_kept(struct belay_observer *observer, const struct belay__mass_stall *kept)
{
	for (uint32_t i = 0; i <= BELAY__CROWDS_MAX && kept->goes_on; i++) {
		struct belay__crowd *crowd = &observer->crowds.crowds[i];

		if (crowd->members > 0 && !crowd->told && !crowd->ends &&
			is_of(crowd, kept->name, kept->uid)) {
			go_on(observer, crowd, kept->starts);
			return;
		}
	}
	if (!kept->starts)
		tell_over(observer, kept->name, kept->uid);
}

void belay__crowds_resume(struct belay_observer *observer, const struct belay__mass_stalls *kept)
{
	for (uint32_t i = 0; kept != NULL && i < kept->count; i++)
		resume_kept(observer, &kept->stalls[i]);
	for (uint32_t i = 0; i <= BELAY__CROWDS_MAX; i++) {
		struct belay__crowd *crowd = &observer->crowds.crowds[i];

		if (crowd->members == 0 || crowd->told || !has_marked(observer, crowd))
			continue;
		if (kept == NULL)
			go_on(observer, crowd, /* starts= */ false);
		else
			leave_all_behind(observer, crowd, /* marked_only= */ true);
	}
}

/* --- falling silent --- */

/* Who to count: members of crowd number AT that were not heard since BEFORE_NS. */
struct suspicion {
	uint16_t at;
	uint64_t before_ns;
	uint32_t enough; /* no more need be counted */
	uint32_t looks;  /* how many may be looked at */
	uint32_t count;
};

static void count_on(struct belay_observer *observer, uint8_t list, struct suspicion *suspicion)
{
	const struct belay__deadlines *deadlines = &observer->table.deadlines;
	uint32_t next = deadlines->head[list];

	while (!belay__is_list_end(next) && suspicion->looks > 0 &&
		suspicion->count < suspicion->enough) {
		const struct belay__slot *slot = &deadlines->slots[next];

		if (slot->last_ns > suspicion->before_ns)
			return;
		suspicion->looks--;
		suspicion->count += slot->record != BELAY__NO_RECORD &&
			member(observer, slot->record)->crowd == suspicion->at + 1;
		next = slot->next;
	}
}

/* Those that are being asked about, and those at the head of LIST. */
static void count_suspects(struct belay_observer *observer, uint8_t list,
	struct suspicion *suspicion)
{
	count_on(observer, BELAY__LIST_QUESTION, suspicion);
	if (list != BELAY__LIST_WITHIN)
		count_on(observer, list, suspicion);
}

static uint64_t ago(const struct belay_observer *observer, uint64_t ns)
{
	return observer->now_ns > ns ? observer->now_ns - ns : 0;
}

void belay__crowd_silent(struct belay_observer *observer, uint32_t number, uint8_t list,
	uint64_t threshold_ns)
{
	struct belay__member *fallen = member(observer, number);
	struct suspicion suspicion = { .before_ns = ago(observer, threshold_ns / 2),
		.looks = LOOKS_AT_START };
	struct belay__crowd *crowd;

	if (fallen->crowd == 0 || fallen->silent)
		return;
	crowd = &observer->crowds.crowds[fallen->crowd - 1];
	while (!crowd->told && crowd->oldest != BELAY__NO_RECORD &&
		member(observer, crowd->oldest)->since_ns < ago(observer, threshold_ns))
		forget_recent(observer, crowd, crowd->oldest);
	fallen->silent = true;
	crowd->silent++;
	add_recent(observer, crowd, number);
	if (crowd->told && !crowd->starts)
		observer->table.records[number].marks |= BELAY__MARK_IN_MASS;
	if (crowd->told || crowd->recent < mass_of(crowd))
		return;
	crowd->told = true;
	suspicion.at = (uint16_t)(fallen->crowd - 1);
	suspicion.enough = crowd->members - crowd->silent;
	count_suspects(observer, list, &suspicion);
	crowd->suspects = suspicion.count;
	if (crowd->ends) {
		crowd->ends = false;
		observer->crowd_news--;
	}
	mark_news(observer, &crowd->starts);
}

enum belay__outlook belay__crowd_look(struct belay_observer *observer, uint16_t number, uint8_t list)
{
	struct suspicion suspicion = { .looks = BELAY__SUSPECTS_MAX };
	const struct belay__crowd *crowd;
	uint32_t mass;

	if (number == 0)
		return BELAY__ALONE;
	crowd = &observer->crowds.crowds[number - 1];
	mass = mass_of(crowd);
	if (crowd->told)
		return BELAY__MANY;
	if (crowd->members < mass)
		return BELAY__ALONE;
	if (crowd->recent >= mass)
		return BELAY__MAYBE_MANY; /* the crowd has become smaller since */
	suspicion.at = (uint16_t)(number - 1);
	suspicion.before_ns = crowd->suspect_before_ns;
	suspicion.enough = mass - crowd->recent;
	count_suspects(observer, list, &suspicion);
	/* So many silent ones of others stand before them that it cannot be told: caution costs one
	 * threshold. */
	return suspicion.count >= suspicion.enough || suspicion.looks == 0 ? BELAY__MAYBE_MANY
									   : BELAY__ALONE;
}

enum belay__outlook belay__crowd_outlook(struct belay_observer *observer, uint32_t at,
	uint64_t *ret_until_ns)
{
	const struct belay__slot *slot = &observer->table.slots[at];
	uint64_t threshold_ns = observer->table.deadlines.length_ns[slot->list];
	uint16_t number = member(observer, slot->record)->crowd;
	struct belay__crowd *crowd;

	*ret_until_ns = observer->now_ns;
	if (number == 0)
		return BELAY__ALONE;
	crowd = &observer->crowds.crowds[number - 1];
	if (crowd->watched_until_ns <= observer->now_ns) {
		crowd->watched_until_ns = observer->now_ns + threshold_ns + EVIDENCE_NS;
		crowd->suspect_before_ns = ago(observer, threshold_ns / 2);
	}
	*ret_until_ns = crowd->watched_until_ns;
	return belay__crowd_look(observer, number, slot->list);
}

const char *belay__crowd_name(const struct belay_observer *observer, uint32_t at)
{
	return observer->crowds.crowds[at].name;
}

void belay__crowds_told(struct belay_observer *observer)
{
	mark_all(observer, &observer->crowds.crowds[observer->crowds.at_hand]);
}

bool belay__crowds_next(struct belay_observer *observer)
{
	struct belay_event *event;
	struct belay__crowd *crowd;
	uint32_t at = 0;

	if (observer->crowd_news == 0)
		return false;
	while (at < BELAY__CROWDS_MAX && !observer->crowds.crowds[at].starts &&
		!observer->crowds.crowds[at].ends)
		at++;
	crowd = &observer->crowds.crowds[at];
	observer->crowd_news--;
	if (!crowd->starts && !crowd->ends)
		return false;
	event = belay__event_start(observer,
		crowd->starts ? BELAY_EVENT_MASS_STALL : BELAY_EVENT_MASS_STALL_OVER);
	observer->crowds.at_hand = at;
	event->name = crowd->name;
	event->uid = crowd->uid;
	event->expected = crowd->members;
	event->beating = crowd->silent + (crowd->starts ? crowd->suspects : 0);
	observer->crowds.mass_stalls += crowd->starts;
	crowd->starts = crowd->ends = false;
	return true;
}
