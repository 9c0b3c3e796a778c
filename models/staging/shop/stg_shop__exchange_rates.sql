-- One row per exchange rate document: a pair of currencies on a day.
{{ config(
    unique_key='exchange_rate_id',
    indexes=[
        {'columns': ['exchange_rate_id'], 'unique': true},
        {'columns': ['_loaded_at']},
    ],
) }}

{% set columns = [
    ('base_currency', 'text', 'base'),
    ('quote_currency', 'text', 'quote'),
    ('rate', 'number', 'rate'),
    ('rate_date', 'date', 'date'),
] %}

with

documents as (

    {{ changed_documents(source('shop', 'exchange_rates')) }}

),

typed as (

    {{ json_to_columns('documents', 'doc', columns, ['document_id', 'is_deleted', '_loaded_at']) }}

),

final as (

    select
        document_id as exchange_rate_id,
        base_currency,
        quote_currency,
        rate,
        rate_date,
        cast_failures,
        is_deleted,
        _loaded_at
    from typed

)

select * from final
