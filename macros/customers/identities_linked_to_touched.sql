{#
    A select of the identities that may be one person with a touched one, directly or by a chain, before
    or after the change: all holders of an e-mail, phone or merge that a touched identity has or had, and
    theirs in turn. Wider than the rules of int_customers_resolved, so that every person is whole in it.
#}
{% macro identities_linked_to_touched() -%}
    with recursive linked as (
        select
            identity_id,
            merged_into_identity_id,
            email_hash,
            phone_hash
        from {{ ref('int_customer_identities') }}
        where
            identity_id in {{ touched('identity') }}

        union

        select
            identity_id,
            merged_into_identity_id,
            email_hash,
            phone_hash
        from {{ ref('int_customer_identities') }}
        where email_hash in {{ touched('email') }}

        union

        select
            identity_id,
            merged_into_identity_id,
            email_hash,
            phone_hash
        from {{ ref('int_customer_identities') }}
        where phone_hash in {{ touched('phone') }}

        union

        select
            neighbours.identity_id,
            neighbours.merged_into_identity_id,
            neighbours.email_hash,
            neighbours.phone_hash
        from linked
        cross join lateral (
            select *
            from {{ ref('int_customer_identities') }} as by_email
            where by_email.email_hash = linked.email_hash

            union all

            select *
            from {{ ref('int_customer_identities') }} as by_phone
            where by_phone.phone_hash = linked.phone_hash

            union all

            select *
            from {{ ref('int_customer_identities') }} as merged
            where merged.merged_into_identity_id = linked.identity_id

            union all

            select *
            from {{ ref('int_customer_identities') }} as survivor
            where survivor.identity_id = linked.merged_into_identity_id
        ) as neighbours
    )

    select identity_id from linked
{%- endmacro %}
