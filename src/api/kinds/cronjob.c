/* CronJob: defaults, validation, Table columns. */
#include <string.h>

#include "api/kinds/job.h"
#include "api/values/cron.h"

enum { NAME_MAX_BYTES = 52 };

static void cronjob_defaults(struct arena *a, void *obj) {
    struct batch_v1_cron_job *c = obj;
    struct batch_v1_job_spec *s = &c->spec.job_template.spec;
    /* The defaults of a Job come with the Job; only those of its pods are there already. */
    pod_spec_defaults(a, &s->template.spec);
}

static void cronjob_prepare(struct arena *a, void *obj, const void *old) {
    struct batch_v1_cron_job *c = obj;
    if (!old) c->status = (struct batch_v1_cron_job_status){0};
}

static void schedule_validate(const struct batch_v1_cron_job *c,
                              const struct batch_v1_cron_job *old, struct api_causes *causes) {
    const char *schedule = c->spec.schedule;
    struct cron parsed;
    struct err err = {0};
    if (str_empty(schedule)) return; /* the table asks for it */
    if (strstr(schedule, "TZ") && !(old && str_eq(old->spec.schedule, schedule))) {
        cause_invalid(causes, "spec.schedule", schedule,
                      c->spec.time_zone ? "cannot use both timeZone field and TZ or CRON_TZ in "
                                          "schedule"
                                        : "cannot use TZ or CRON_TZ in schedule, use timeZone "
                                          "field instead");
        return;
    }
    if (cron_parse(schedule, &parsed, &err) < 0)
        cause_invalid(causes, "spec.schedule", schedule, err.text);
}

static void zone_validate(const char *zone, struct api_causes *causes) {
    const char *path = "spec.timeZone";
    struct time_zone found;
    if (!zone) return;
    if (!*zone)
        cause_invalid(causes, path, zone, "timeZone must be nil or non-empty string");
    else if (slice_ieq(slice_of(zone), "local"))
        cause_invalid(causes, path, zone,
                      "timeZone must be an explicit time zone as defined in "
                      "https://www.iana.org/time-zones");
    else if (!time_zone_find(zone, &found))
        cause_invalid(causes, path, zone, path_of(causes, "unknown time zone %s", zone));
}

static void cronjob_validate(const void *obj, const void *old, const char *subresource,
                             struct api_causes *causes) {
    static const char *const no[] = {"nil", "false"};
    const struct batch_v1_cron_job *c = obj;
    const struct batch_v1_job_spec *s = &c->spec.job_template.spec;
    if (!str_empty(subresource)) return;
    schedule_validate(c, old, causes);
    zone_validate(c->spec.time_zone, causes);
    job_spec_validate(s, "spec.jobTemplate.spec", causes);
    if (s->selector)
        cause_invalid_raw(causes, "spec.jobTemplate.spec.selector",
                          type_json(causes->a, &meta_v1_label_selector_type, s->selector),
                          "`selector` will be auto-generated");
    if (s->manual_selector && *s->manual_selector)
        cause_not_supported(causes, "spec.jobTemplate.spec.manualSelector", "true", no, 2);
    if (!old && strlen(str_or(c->metadata.name, "")) > NAME_MAX_BYTES)
        cause_invalid(causes, "metadata.name", c->metadata.name,
                      "must be no more than 52 characters");
}

static const struct api_column columns[] = {
    COLUMN_NAME,
    COLUMN("Schedule", "Times in cron form."),
    COLUMN("Timezone", "Time zone of the schedule."),
    COLUMN("Suspend", "Whether no further Jobs are made."),
    COLUMN_INT("Active", "Number of Jobs that run now."),
    COLUMN("Last Schedule", "Time since a Job was last made."),
    COLUMN_AGE,
    COLUMN_WIDE("Containers", "Names of each container in the template."),
    COLUMN_WIDE("Images", "Images referenced by each container in the template."),
    COLUMN_WIDE("Selector", "Label selector for the pods."),
};

static void cronjob_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct batch_v1_cron_job *c = obj;
    const struct batch_v1_job_spec *s = &c->spec.job_template.spec;
    cells[0] = cell_text(c->metadata.name);
    cells[1] = cell_text(c->spec.schedule);
    cells[2] = cell_or_none(c->spec.time_zone);
    cells[3] = cell_text(!c->spec.suspend ? "<unset>" : *c->spec.suspend ? "True" : "False");
    cells[4] = cell_int((int64_t)c->status.active.n);
    cells[5] = cell_text(str_empty(c->status.last_schedule_time)
                             ? NONE_TEXT
                             : time_since(a, c->status.last_schedule_time, now_ns));
    cells[6] = cell_age(a, &c->metadata, now_ns);
    cells[7] = cell_text(container_names_text(a, &s->template.spec));
    cells[8] = cell_text(container_images_text(a, &s->template.spec));
    cells[9] = cell_text(label_selector_text(a, s->selector));
}

static const struct api_behavior cronjob_behavior = {
    .group = "batch",
    .kind = "CronJob",
    .defaults = cronjob_defaults,
    .prepare = cronjob_prepare,
    .validate = cronjob_validate,
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = cronjob_row,
};
API_BEHAVIOR(cronjob_behavior);
