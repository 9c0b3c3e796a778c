-- One row per source identity, with the person it belongs to, the rule that says so and how sure it is.
--
-- Identities and the keys they hold (account id, e-mail hash, phone hash) form a graph; a person is
-- one connected part of it. The smallest identity id is passed along shared keys for a fixed number of
-- rounds; each round reaches one identity further. `assert_identity_rounds_suffice` fails the day a
-- chain is longer than that.
{{ config(
    materialized='incremental',
    incremental_strategy='by_entity',
    unique_key=['identity_id'],
    meta={
        'entity': 'identity', 'entity_column': 'identity_id',
        'touches': {'customer': 'customer_key', 'source': 'source_id'},
        'touched_also': [
            "{{ identities_linked_to_touched() }}",
        ],
    },
    indexes=[
        {'columns': ['customer_key']},
        {'columns': ['source_id']},
    ],
) }}
{% set rounds = 6 %}

with

identities as (

    select * from {{ ref('int_customer_identities') }}
    where {{ is_touched('identity_id') }}

),

-- The oldest holder of a phone number is its anchor. Other holders are the same person when they
-- gave no e-mail, or one that differs from the anchor's only by a slip (same mailbox name at another
-- domain, or same domain and nearly the same name). Two unlike e-mails on one phone are a household.
phone_holders as (

    select
        identity_id,
        email,
        phone_hash,
        first_value(email) over (
            partition by phone_hash
            order by
                case when email is null then 1 else 0 end asc,
                case when identity_type = 'account' then 0 else 1 end asc,
                first_seen_at asc nulls last,
                identity_id asc
            rows between unbounded preceding and unbounded following
        ) as anchor_email
    from identities
    where phone_hash is not null

),

phones_compared as (

    select
        identity_id,
        email,
        phone_hash,
        (
            email is null
            or anchor_email is null
            or email = anchor_email
            or split_part(email, '@', 1) = split_part(anchor_email, '@', 1)
            or (
                split_part(email, '@', 2) = split_part(anchor_email, '@', 2)
                and abs(length(email) - length(anchor_email)) <= 1
                and substring(email, 1, 2) = substring(anchor_email, 1, 2)
            )
        ) as is_like_anchor
    from phone_holders

),

phones as (

    select
        phone_hash,
        min(case when is_like_anchor then 1 else 0 end) = 1 as is_of_one_person
    from phones_compared
    group by phone_hash

),

keys as (

    select
        identity_id,
        identity_id as key
    from identities

    union

    select
        identity_id,
        merged_into_identity_id as key
    from identities
    where merged_into_identity_id is not null

    union

    select
        identity_id,
        'email:' || email_hash as key
    from identities
    where email_hash is not null

    union

    -- holders of one phone who gave no e-mail are one person, and the e-mail's owner if there is one
    select
        phones_compared.identity_id,
        'phone:' || phones_compared.phone_hash as key
    from phones_compared
    inner join phones
        on phones_compared.phone_hash = phones.phone_hash
    where
        phones_compared.email is null
        or phones.is_of_one_person

    union

    -- a slip of the keyboard in the e-mail, with the same phone
    select
        identity_id,
        'slip:' || phone_hash as key
    from phones_compared
    where
        email is not null
        and is_like_anchor

),

shared_keys as (

    select key
    from keys
    group by key
    having count(*) > 1

),

links as (

    select
        keys.identity_id,
        keys.key
    from keys
    inner join shared_keys
        on keys.key = shared_keys.key

),

labels_0 as (

    select distinct
        identity_id,
        identity_id as label
    from links

),

{% for round in range(1, rounds + 1) %}
key_labels_{{ round }} as (

    select
        links.key,
        min(labels.label) as label
    from links
    inner join labels_{{ round - 1 }} as labels
        on links.identity_id = labels.identity_id
    group by links.key

),

labels_{{ round }} as (

    select
        links.identity_id,
        min(key_labels.label) as label
    from links
    inner join key_labels_{{ round }} as key_labels
        on links.key = key_labels.key
    group by links.identity_id

),

{% endfor %}
grouped as (

    select
        identities.*,
        coalesce(labels.label, identities.identity_id) as person_label,
        labels.label is not null as is_linked
    from identities
    left join labels_{{ rounds }} as labels
        on identities.identity_id = labels.identity_id

),

-- The account that stands for the person: the surviving one, else the oldest.
ranked as (

    select
        *,
        row_number() over (
            partition by person_label
            order by
                case when identity_type = 'account' then 0 else 1 end asc,
                case when merged_into_identity_id is null then 0 else 1 end asc,
                case when is_deleted then 1 else 0 end asc,
                first_seen_at asc nulls last,
                identity_id asc
        ) as identity_rank,
        min(email_hash) over (partition by person_label) as any_email_hash,
        min(phone_hash) over (partition by person_label) as any_phone_hash,
        count(*) over (partition by person_label) as identity_count
    from grouped

),

heads as (

    select
        person_label,
        identity_type as person_type,
        email_hash as head_email_hash,
        phone_hash as head_phone_hash,
        case
            when identity_type = 'account' then identity_id
            when any_email_hash is not null then 'email:' || any_email_hash
            when any_phone_hash is not null then 'phone:' || any_phone_hash
            else identity_id
        end as person_id
    from ranked
    where identity_rank = 1

),

ruled as (

    select
        ranked.identity_id,
        ranked.identity_type,
        ranked.source_id,
        ranked.identity_rank,
        ranked.identity_count,
        ranked.is_test,
        ranked.is_deleted,
        ranked.has_document,
        ranked.email_hash,
        ranked.phone_hash,
        ranked.first_seen_at,
        heads.person_id,
        case
            when heads.person_type = 'account' then 'account'
            when ranked.any_email_hash is not null then 'guest_email'
            when ranked.any_phone_hash is not null then 'guest_phone'
            else 'anonymous'
        end as person_type,
        case
            when ranked.identity_rank = 1 and ranked.identity_type = 'account' then 'account'
            when ranked.merged_into_identity_id is not null then 'merged_into'
            when
                ranked.email_hash is not null
                and (ranked.identity_rank = 1 or ranked.email_hash = heads.head_email_hash)
                then 'email'
            when
                ranked.email_hash is not null
                and heads.head_email_hash is not null
                and ranked.phone_hash = heads.head_phone_hash
                then 'email_slip_same_phone'
            when ranked.phone_hash is not null and ranked.phone_hash = heads.head_phone_hash then 'phone'
            when ranked.email_hash is not null then 'email_of_linked_identity'
            when ranked.phone_hash is not null then 'phone'
            when ranked.identity_type = 'account' then 'account'
            else 'order'
        end as match_rule
    from ranked
    inner join heads
        on ranked.person_label = heads.person_label

),

final as (

    select
        identity_id,
        {{ surrogate_key(['person_id']) }} as customer_key,
        person_id,
        person_type,
        identity_type,
        source_id,
        match_rule,
        email_hash,
        phone_hash,
        identity_rank,
        identity_count,
        case match_rule
            when 'account' then 1.00
            when 'merged_into' then 1.00
            when 'email' then 0.95
            when 'email_of_linked_identity' then 0.90
            when 'email_slip_same_phone' then 0.85
            when 'phone' then 0.80
            else 0.50
        end as confidence,
        is_test,
        is_deleted,
        has_document,
        first_seen_at
    from ruled

)

select * from final
